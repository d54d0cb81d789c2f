// The JSON values that flow through a state machine, and the one size limit AWS puts on each of them. Everything the
// interpreter stores, passes to a task or shows in a history is such a value, so it survives a restart unchanged.

export type Json = null | boolean | number | string | Json[] | JsonObject;
export type JsonObject = { [key: string]: Json };

/** The most that one payload (input, output, arguments, variable) may measure as UTF-8 JSON text. */
export const PAYLOAD_LIMIT_BYTES = 262_144;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether this JSON text is within AWS's payload limit. */
export function fitsPayload(text: string): boolean {
  // A UTF-16 unit is at least one byte and at most three in UTF-8, so most texts need no second look.
  if (text.length * 3 <= PAYLOAD_LIMIT_BYTES) return true;
  return text.length <= PAYLOAD_LIMIT_BYTES && Buffer.byteLength(text) <= PAYLOAD_LIMIT_BYTES;
}
