/**
 * Makes the data of this node the first of its cluster, as an operator has told it: prepared (recovered, roles, configuration), then this
 * host's notes of another cluster set aside, if the claim was read again and is still the same, then the system identifier written, on
 * that condition too. Each step may be done again: until the last one the table orders it anew.
 */
import { formatSystemIdentifier, type SystemIdentifier } from '../../core/model/system-identifier.ts';
import type { HostContext } from './host-context.ts';
import { publishSystem } from './publish-system.ts';

/** By host. */
const told = new WeakMap<HostContext['disk'], string>();

export async function adoptDirectory(context: HostContext): Promise<void> {
  const { keeper, server, disk, config } = context;
  const claim = await readClaim(context);
  if (claim === null) return;
  const prepared = await server.node.adopt(claim.adopts);
  if (prepared.kind !== 'adopted') {
    // Tried again each second, and told once: what failed has a time in it.
    const key = `${claim.nonce} ${prepared.kind === 'refused' ? prepared.reason : 'failed'}`;
    if (told.get(disk) !== key)
      context.emit('join_refused', `the data cannot be adopted: ${prepared.reason}`, { rule: 'adopt-data' });
    told.set(disk, key);
    return;
  }
  // The preparation may have taken long. The bars of the other cluster are let go of only for a claim that stands.
  if ((await readClaim(context))?.nonce !== claim.nonce) return;
  disk.beginAnew(claim.nonce);
  if (await publishSystem(context, claim.nonce, claim.adopts))
    context.emit(
      'data_adopted',
      `system ${formatSystemIdentifier(claim.adopts)}, timeline ${prepared.timeline}, on ${config.node}`,
      { rule: 'adopt-data' },
    );
  await keeper.refresh();
}

/** This node's claim as it was read just now; null: there is none that it may act on, or no answer. */
async function readClaim({
  keeper,
  config,
}: HostContext): Promise<{ nonce: string; adopts: SystemIdentifier } | null> {
  if (!(await keeper.refresh())) return null;
  const { record, watch } = keeper.view();
  const claim = record?.bootstrap;
  if (claim?.adopts === undefined || claim.node !== config.node) return null;
  if (record?.systemIdentifier !== null || watch.lease !== null) return null;
  return { nonce: claim.nonce, adopts: claim.adopts };
}
