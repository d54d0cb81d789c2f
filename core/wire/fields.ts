/**
 * Readers of single fields that come from outside: each takes what was found and the name of the field, and returns a value
 * of the model or throws `InvalidInput`, which names the field, what it was and what it takes. Upholds that everything from
 * outside is checked once, at the edge, and that a refusal tells its reader what to write instead.
 */
import { type Lsn, parseLsn } from '../model/lsn.ts';
import { parseSystemIdentifier, type SystemIdentifier } from '../model/system-identifier.ts';

/** Reads one field; `field` is its path in the input, such as `nodes[1].port`. Throws InvalidInput. */
export type Reader<T> = (value: unknown, field: string) => T;

/** An object from outside whose values are not yet known. */
export type Fields = Readonly<Record<string, unknown>>;

const shownCharacters = 80;

/** Input that was refused. `name` is what Step Functions and the CLI match on. */
export class InvalidInput extends Error {
  readonly field: string;
  /** What was found, as text fit for a message. */
  readonly was: string;
  readonly takes: string;

  constructor(field: string, was: unknown, takes: string) {
    const shown = show(was);
    super(`${fieldName(field)} was ${shown}; it takes ${takes}`);
    this.name = 'InvalidInput';
    this.field = field;
    this.was = shown;
    this.takes = takes;
  }
}

function show(value: unknown): string {
  if (value === undefined) return 'absent';
  if (typeof value === 'bigint') return `${value}`;
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`;
  const text = JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'bigint' ? `${inner}` : inner,
  );
  return text.length <= shownCharacters ? text : `${text.slice(0, shownCharacters)}...`;
}

export function readString(value: unknown, field: string): string {
  if (typeof value !== 'string') throw new InvalidInput(field, value, 'a string');
  return value;
}

export function readNonEmpty(value: unknown, field: string): string {
  if (typeof value !== 'string' || value === '') throw new InvalidInput(field, value, 'a non-empty string');
  return value;
}

/** Like readNonEmpty, but a refusal never repeats what was found. */
export function readSecret(value: unknown, field: string): string {
  if (typeof value !== 'string' || value === '') {
    throw new InvalidInput(field, value === undefined ? undefined : '(hidden)', 'a non-empty string');
  }
  return value;
}

export function readBoolean(value: unknown, field: string): boolean {
  if (typeof value !== 'boolean') throw new InvalidInput(field, value, 'true or false');
  return value;
}

/** A whole number from `least` to `most`, both included. */
export function readInteger(
  value: unknown,
  field: string,
  least = 0,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least || value > most) {
    const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
    throw new InvalidInput(field, value, `a whole number ${range}`);
  }
  return value;
}

export function readNumber(value: unknown, field: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new InvalidInput(field, value, 'a number');
  return value;
}

export function readPort(value: unknown, field: string): number {
  return readInteger(value, field, 1, 65_535);
}

export function readOneOf<T extends string>(value: unknown, field: string, choices: readonly T[]): T {
  const chosen = choices.find((choice) => choice === value);
  if (chosen === undefined) {
    throw new InvalidInput(field, value, `one of ${choices.map((choice) => `"${choice}"`).join(', ')}`);
  }
  return chosen;
}

/** What names a cluster, a node or a proxy: also fit for a PostgreSQL application_name, a slot and a DNS label. */
export const idPattern = /^[a-z][a-z0-9-]{0,30}$/;

export function readId(value: unknown, field: string): string {
  if (typeof value !== 'string' || !idPattern.test(value)) {
    throw new InvalidInput(
      field,
      value,
      'a lower-case letter, then up to 30 lower-case letters, digits or hyphens',
    );
  }
  return value;
}

export function readLsn(value: unknown, field: string): Lsn {
  const lsn = typeof value === 'string' ? parseLsn(value) : null;
  if (lsn === null) throw new InvalidInput(field, value, 'a WAL position such as "0/3000060"');
  return lsn;
}

export function readSystemIdentifier(value: unknown, field: string): SystemIdentifier {
  const identifier = typeof value === 'string' ? parseSystemIdentifier(value) : null;
  if (identifier === null)
    throw new InvalidInput(field, value, 'a system identifier in decimal digits, as text');
  return identifier;
}

export function readList<T>(value: unknown, field: string, read: Reader<T>): T[] {
  if (!Array.isArray(value)) throw new InvalidInput(field, value, 'a list');
  return value.map((element: unknown, index) => read(element, `${field}[${index}]`));
}

/** Absent and null are null; anything else is read. */
export function readNullable<T>(value: unknown, field: string, read: Reader<T>): T | null {
  return value === undefined || value === null ? null : read(value, field);
}

/** Absent is `fallback`; null is not absent. */
export function readOptional<T>(value: unknown, field: string, read: Reader<T>, fallback: T): T {
  return value === undefined ? fallback : read(value, field);
}

export function readFields(value: unknown, field: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidInput(field, value, 'an object');
  }
  return value as Fields;
}

/** An object made by a person: a key that is not `known` is refused, for it is most likely a misspelt one. */
export function readKnownFields(value: unknown, field: string, known: readonly string[]): Fields {
  const fields = readFields(value, field);
  for (const key of Object.keys(fields)) {
    if (!known.includes(key)) {
      const takes = `${known.join(', ')} (no other key)`;
      throw new InvalidInput(pathOf(field, key), fields[key], `nothing: ${fieldName(field)} has ${takes}`);
    }
  }
  return fields;
}

/** The path of `key` inside `field`; the outermost object has the empty path. */
export function pathOf(field: string, key: string): string {
  return field === '' ? key : `${field}.${key}`;
}

function fieldName(field: string): string {
  return field === '' ? 'this input' : field;
}
