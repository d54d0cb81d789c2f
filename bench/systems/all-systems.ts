/** Which systems there are to measure: Leasehold always, peers by the name that `--peers` takes. */
import { InvalidOption } from '../read-options.ts';
import { leasehold } from './leasehold.ts';
import { patroni } from './patroni.ts';
import { pgAutoFailover } from './pg-auto-failover.ts';
import type { SystemMaker } from './system-under-test.ts';

/** One maker for each of a peer's settings. */
export const peers: Readonly<Record<string, readonly SystemMaker[]>> = {
  patroni,
  pgaf: pgAutoFailover,
};

/** Leasehold first, then the peers in the order in which they were named. Throws for a name that no peer has. */
export function systemsWith(peerNames: readonly string[]): SystemMaker[] {
  return [
    leasehold,
    ...peerNames.flatMap((name) => {
      const makers = peers[name];
      if (makers === undefined) {
        throw new InvalidOption('peers', name, `of ${Object.keys(peers).join(', ')}`);
      }
      return makers;
    }),
  ];
}
