/** The text that agents share, as it is between two rotations. */
import type { SharedSecret } from '../../adapters/peer/shared-secret.ts';

export function fixedSecret(text: string): SharedSecret {
  return { sign: () => text, accept: () => [text] };
}
