// The package `asl-validator` ships no types. This is the part of it that the tests use.
declare module 'asl-validator' {
  export default function validate(definition: Record<string, unknown>): {
    isValid: boolean;
    errors: { 'Error code': string; Message: string }[];
  };
}
