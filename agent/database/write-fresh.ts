/** The holder's writes to its lease that name the seq they were decided on. */
import type { LeaseWrite } from '../../core/lease/lease-write.ts';
import type { Lease } from '../../core/model/lease.ts';
import type { HostContext } from './host-context.ts';

/** The holder's own renewal may come between: then it is decided anew on what is there, a few times. */
export async function writeFresh(
  context: HostContext,
  make: (seen: Lease) => LeaseWrite,
): Promise<{ readonly kind: 'done' | 'refused' | 'uncertain' | 'not-holder' }> {
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const lease = context.keeper.view().watch.lease;
    if (lease === null || !context.keeper.isHolder()) return { kind: 'not-holder' };
    const outcome = await context.keeper.write(make(lease));
    if (outcome.kind !== 'refused') return { kind: outcome.kind };
  }
  return { kind: 'refused' };
}
