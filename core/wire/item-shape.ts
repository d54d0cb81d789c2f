/**
 * One table a type says how each of its fields is read from, and written to, a DynamoDB item: so reading and writing
 * cannot drift apart. Attributes are the field's name in snake_case; values are plain JavaScript (strings, numbers, booleans,
 * null, lists, maps), with positions and identifiers as text. Attributes that the table does not know are ignored, because
 * a newer version may have written them; a known one that is wrong is refused by name.
 */
import { formatLsn } from '../model/lsn.ts';
import { formatSystemIdentifier } from '../model/system-identifier.ts';
import {
  type Fields,
  pathOf,
  type Reader,
  readBoolean,
  readFields,
  readId,
  readInteger,
  readList,
  readLsn,
  readNonEmpty,
  readNullable,
  readNumber,
  readOneOf,
  readString,
  readSystemIdentifier,
} from './fields.ts';

/** An item as the document client takes and gives it. */
export type Item = Record<string, unknown>;

export interface Codec<T> {
  readonly read: Reader<T>;
  write(value: T): unknown;
  /** The field may be missing, and is then missing in the value too. */
  readonly optional?: true;
}

export interface ItemShape<T> extends Codec<T> {
  /** The attributes of those fields that are given: for an update. */
  writePart(part: Partial<T>): Item;
  write(value: T): Item;
}

/** A codec whose values need no change to be stored. */
export function plain<T>(read: Reader<T>): Codec<T> {
  return { read, write: (value) => value };
}

export const text = plain(readString);
export const nonEmpty = plain(readNonEmpty);
export const boolean = plain(readBoolean);
export const id = plain(readId);
export const count = plain((value, field) => readInteger(value, field));
export const positive = plain((value, field) => readInteger(value, field, 1));
export const number = plain(readNumber);
export const lsn = { read: readLsn, write: formatLsn };
export const systemIdentifier = { read: readSystemIdentifier, write: formatSystemIdentifier };

export function oneOf<T extends string>(choices: readonly T[]): Codec<T> {
  return plain((value, field) => readOneOf(value, field, choices));
}

export function nullable<T>(codec: Codec<T>): Codec<T | null> {
  return {
    read: (value, field) => readNullable(value, field, codec.read),
    write: (value) => (value === null ? null : codec.write(value)),
  };
}

export function optional<T>(codec: Codec<T>): Codec<T> {
  return { ...codec, optional: true };
}

/** The attribute may be missing, because an older version did not write it: then it is `value`. */
export function withDefault<T>(codec: Codec<T>, value: T): Codec<T> {
  return {
    read: (found, field) => (found === undefined ? value : codec.read(found, field)),
    write: codec.write,
  };
}

export function listOf<T>(codec: Codec<T>): Codec<readonly T[]> {
  return {
    read: (value, field) => readList(value, field, codec.read),
    write: (values) => values.map((value) => codec.write(value)),
  };
}

export type Codecs<T> = { readonly [K in keyof T]-?: Codec<Exclude<T[K], undefined>> };

/** `releasedAtLsn` is `released_at_lsn`. */
export function attributeName(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The shape of an item, or of a map within one, from the codec of each field. */
export function itemShape<T extends object>(codecs: Codecs<T>): ItemShape<T> {
  const entries = Object.entries(codecs) as [string, Codec<unknown>][];
  const writePart = (part: Partial<T>): Item => {
    const values: Fields = { ...part };
    const item: Item = {};
    for (const [key, codec] of entries) {
      const value = values[key];
      if (value !== undefined) item[attributeName(key)] = codec.write(value);
    }
    return item;
  };
  const read: Reader<T> = (value, field) => {
    const fields = readFields(value, field);
    const result: Item = {};
    for (const [key, codec] of entries) {
      const attribute = attributeName(key);
      const found = fields[attribute];
      if (found === undefined && codec.optional) continue;
      result[key] = codec.read(found, pathOf(field, attribute));
    }
    return result as T;
  };
  return { read, writePart, write: writePart };
}
