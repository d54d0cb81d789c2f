/** The system identifier of a cluster is written once, by the node whose claim of the bootstrap is the recorded one. */
import { formatSystemIdentifier, type SystemIdentifier } from '../../core/model/system-identifier.ts';
import type { HostContext } from './host-context.ts';

/** Conditional on the claim: what was made for a claim that another node took over never becomes the cluster's. */
export async function publishSystem(
  context: HostContext,
  nonce: string,
  systemIdentifier: SystemIdentifier,
): Promise<boolean> {
  const written = await context.store.updateRecord(
    {
      expect: { systemIdentifierAbsent: true, bootstrapNonce: nonce },
      set: { systemIdentifier, intendedPrimary: context.config.node },
    },
    { timeoutMs: 5_000 },
  );
  if (written.kind === 'ok') {
    context.keeper.learnRecord(written.value);
    context.emit('cluster_initialised', `system identifier ${formatSystemIdentifier(systemIdentifier)}`);
    return true;
  }
  context.log('warn', 'the system identifier was not recorded', { nonce, answer: written.kind });
  return false;
}
