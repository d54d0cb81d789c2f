// The functions that Step Functions adds to JSONata, with the corner cases that AWS shows: arguments are rounded towards
// zero, impossible ones give nothing (undefined), and a range of one is the bare number.

import { createHash, randomUUID } from 'node:crypto';

/** As many numbers as AWS lets `$range` build. */
const LONGEST_RANGE = 360_145;
const HASHES: Readonly<Record<string, string>> = {
  MD5: 'md5',
  'SHA-1': 'sha1',
  'SHA-256': 'sha256',
  'SHA-384': 'sha384',
  'SHA-512': 'sha512',
};

function whole(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'number') throw new Error(`${name} takes numbers`);
  return Math.trunc(value);
}

function partition(array: unknown, chunkSize: unknown): unknown[] | undefined {
  const size = whole(chunkSize, '$partition');
  if (array === undefined || size === undefined || size <= 0) return undefined;
  const items = Array.isArray(array) ? array : [array];
  if (items.length === 0) return undefined;
  const chunks = [];
  for (let at = 0; at < items.length; at += size) chunks.push(items.slice(at, at + size));
  return chunks;
}

function range(start: unknown, end: unknown, step: unknown): number | number[] | undefined {
  const [first, last, by] = [whole(start, '$range'), whole(end, '$range'), whole(step, '$range')];
  if (first === undefined || last === undefined || by === undefined || by === 0) return undefined;
  const length = Math.floor((last - first) / by) + 1;
  if (length <= 0) return undefined;
  if (length > LONGEST_RANGE) throw new Error('Expression evaluation memory limit exceeded');
  return length === 1 ? first : Array.from({ length }, (_, index) => first + index * by);
}

function hash(text: unknown, algorithm: unknown): string | undefined {
  if (text === undefined || algorithm === undefined) return undefined;
  const known = typeof algorithm === 'string' ? HASHES[algorithm] : undefined;
  if (typeof text !== 'string' || known === undefined) {
    throw new Error(`$hash takes a string and one of ${Object.keys(HASHES).join(', ')}`);
  }
  return createHash(known).update(text).digest('hex');
}

/** Without a seed any number in [0, 1); with one, always the same (mulberry32; AWS does not say which it uses). */
function random(seed: unknown): number {
  if (seed === undefined) return Math.random();
  let state = ((whole(seed, '$random') ?? 0) + 0x6d2b79f5) | 0;
  state = Math.imul(state ^ (state >>> 15), state | 1);
  state ^= state + Math.imul(state ^ (state >>> 7), state | 61);
  return ((state ^ (state >>> 14)) >>> 0) / 2 ** 32;
}

function parse(text: unknown): unknown {
  if (text === undefined) return undefined;
  if (typeof text !== 'string') throw new Error('$parse takes a string');
  return JSON.parse(text);
}

export const AWS_FUNCTIONS: Readonly<Record<string, (...args: unknown[]) => unknown>> = {
  partition,
  range,
  hash,
  random,
  uuid: () => randomUUID(),
  parse,
};

/** JSONata's own functions that AWS offers: all of version 2.0.6 but `$eval`. */
export const JSONATA_FUNCTIONS: readonly string[] =
  `abs append assert average base64decode base64encode boolean ceil clone contains count decodeUrl decodeUrlComponent
  distinct each encodeUrl encodeUrlComponent error exists filter floor formatBase formatInteger formatNumber fromMillis
  join keys length lookup lowercase map match max merge millis min not now number pad parseInteger power random reduce
  replace reverse round shuffle sift single sort split spread sqrt string substring substringAfter substringBefore sum
  toMillis trim type uppercase zip`.split(/\s+/);
