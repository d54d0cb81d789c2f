/**
 * Narrowing of parsed JSON from outside (templates, requests) into something that the compiler can follow.
 * Each function throws a plain `Error` naming the place, which callers turn into their protocol's error.
 */
export type JsonObject = { readonly [key: string]: unknown };

/** Whether `value` is a JSON object, and neither an array nor null. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `value` as an object; `where` names it in the error. */
export function asObject(value: unknown, where: string): JsonObject {
  if (!isObject(value)) throw new Error(`${where} must be an object`);
  return value;
}

/** `value` as a string; `where` names it in the error. */
export function asString(value: unknown, where: string): string {
  if (typeof value !== 'string') throw new Error(`${where} must be a string`);
  return value;
}

/** `value` as an array; an absent one is empty. `where` names it in the error. */
export function asArray(value: unknown, where: string): readonly unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new Error(`${where} must be an array`);
  return value;
}

/** `value` as a number, also from a string of digits (templates write either); absent gives `fallback`. */
export function asNumber(value: unknown, where: string, fallback: number): number {
  if (value === undefined) return fallback;
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isFinite(number)) throw new Error(`${where} must be a number`);
  return number;
}
