// Reads the fields of a Step Functions request, refusing what AWS refuses in the words of its ValidationException. Also
// pages lists: a token is an offset, opaque to the client and refused when it is not one of ours.

import type { JsonObject } from '../../adapters/asl/json.ts';
import { AwsError } from './aws-error.ts';

const MOST_RESULTS = 1000;
const DEFAULT_RESULTS = 100;

function violation(field: string, constraint: string): AwsError {
  const message = `1 validation error detected: Value at '${field}' failed to satisfy constraint: ${constraint}`;
  return new AwsError('ValidationException', message);
}

/** A text of at most `most` characters; null when absent. */
export function optionalText(body: JsonObject, field: string, most: number): string | null {
  const value = body[field];
  if (value === undefined || value === null) return null;
  if (typeof value !== 'string') throw new AwsError('SerializationException', `${field} must be a string`);
  if (value.length <= most) return value;
  throw violation(field, `Member must have length less than or equal to ${most}`);
}

export function requiredText(body: JsonObject, field: string, most: number): string {
  const value = optionalText(body, field, most);
  if (value === null) throw violation(field, 'Member must not be null');
  if (value === '') throw violation(field, 'Member must have length greater than or equal to 1');
  return value;
}

export function flag(body: JsonObject, field: string, otherwise: boolean): boolean {
  const value = body[field];
  if (value === undefined || value === null) return otherwise;
  if (typeof value === 'boolean') return value;
  throw new AwsError('SerializationException', `${field} must be a boolean`);
}

/** An integer from 0 to `most`. */
export function integer(body: JsonObject, field: string, otherwise: number, most: number): number {
  const value = body[field];
  if (value === undefined || value === null) return otherwise;
  if (typeof value !== 'number' || !Number.isInteger(value)) {
    throw new AwsError('SerializationException', `${field} must be an integer`);
  }
  if (value < 0) throw violation(field, 'Member must have value greater than or equal to 0');
  if (value > most) throw violation(field, `Member must have value less than or equal to ${most}`);
  return value;
}

/** One of some words; null when absent. */
export function oneOf<const Word extends string>(
  body: JsonObject,
  field: string,
  words: readonly Word[],
): Word | null {
  const value = optionalText(body, field, 256);
  if (value === null) return null;
  const word = words.find((each) => each === value);
  if (word === undefined) throw violation(field, `Member must satisfy enum value set: [${words.join(', ')}]`);
  return word;
}

/** The name of an execution: AWS takes 1 to 80 characters, none of them white space, a bracket, wildcard or special one. */
export function nameOf(body: JsonObject): string {
  const name = requiredText(body, 'name', 80);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: AWS refuses them in names
  if (/[\s<>{}[\]?*"#%\\^|~`$&,;:/\u0000-\u001f\u007f-\u009f]/.test(name)) {
    throw new AwsError('InvalidName', `Invalid Name: '${name}'`);
  }
  return name;
}

/** The page of a list that the request asks for, and the token of the next page where there is one. */
export function page<T>(all: readonly T[], body: JsonObject): { items: readonly T[]; nextToken: JsonObject } {
  const size = integer(body, 'maxResults', DEFAULT_RESULTS, MOST_RESULTS) || DEFAULT_RESULTS;
  const token = optionalText(body, 'nextToken', 1024);
  const from = token === null ? 0 : offsetIn(token);
  const to = from + size;
  return { items: all.slice(from, to), nextToken: to < all.length ? { nextToken: tokenFor(to) } : {} };
}

function tokenFor(offset: number): string {
  return Buffer.from(`from:${offset}`).toString('base64url');
}

function offsetIn(token: string): number {
  const offset = /^from:(\d{1,9})$/.exec(Buffer.from(token, 'base64url').toString())?.[1];
  if (offset === undefined) throw new AwsError('InvalidToken', "Invalid Token: 'Invalid token'");
  return Number(offset);
}
