// The 64-bit number initdb gives a cluster and every physical copy keeps. Two nodes with different ones share no history:
// a node never follows a primary of another system identifier.

declare const systemIdentifierBrand: unique symbol;

/** A PostgreSQL system identifier: 64 bits, unsigned, never zero. */
export type SystemIdentifier = bigint & { readonly [systemIdentifierBrand]: 'system-identifier' };

const MAX_IDENTIFIER = 0xffff_ffff_ffff_ffffn;

/** The identifier with that number. Throws RangeError for zero or what 64 unsigned bits cannot hold. */
export function systemIdentifierOf(value: bigint): SystemIdentifier {
  if (value <= 0n || value > MAX_IDENTIFIER) throw new RangeError(`system identifier out of range: ${value}`);
  return value as SystemIdentifier;
}

/** Parses decimal digits (as pg_controldata and IDENTIFY_SYSTEM print them); anything else is null. */
export function parseSystemIdentifier(text: string): SystemIdentifier | null {
  if (!/^[1-9][0-9]{0,19}$/.test(text)) return null;
  const value = BigInt(text);
  return value > MAX_IDENTIFIER ? null : (value as SystemIdentifier);
}

/** Decimal digits: as text, because JSON and DynamoDB's JSON clients round numbers this large. */
export function formatSystemIdentifier(identifier: SystemIdentifier): string {
  return identifier.toString();
}
