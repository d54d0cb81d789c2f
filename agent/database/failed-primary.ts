/**
 * Carries out what the table orders for a failed primary: kill a hung server, ask for a hand-over of a lease that is still held,
 * give the lease up after everything was killed, or only when a standby is proven to have the end of the log. Upholds H5.
 */
import { randomUUID } from 'node:crypto';
import type { WalEnd } from '../../adapters/postgres/wal.ts';
import { maySucceed } from '../../core/host/expected-recovery.ts';
import type { HostDecision } from '../../core/host/host-rules.ts';
import { release } from '../../core/lease/lease-write.ts';
import type { NodeId } from '../../core/model/lease.ts';
import { formatLsn, type Lsn } from '../../core/model/lsn.ts';
import type { HostContext } from './host-context.ts';
import type { OrderContext } from './orders.ts';
import { askStandbyPosition } from './other-node.ts';
import { writeFresh } from './write-fresh.ts';

export async function killHung(context: HostContext, decision: HostDecision): Promise<void> {
  const killed = await context.server.node.killAll(decision.reason);
  context.emit('postgres_hung', `${decision.reason} (${killed.killed} processes)`, {
    rule: decision.rule,
    epoch: context.keeper.view().watch.lease?.epoch ?? null,
    details: { ...decision.details, killed: killed.killed, remaining: killed.remaining.length },
  });
}

/** The lease is held and the server may still run: `begin` plans a hand-over, and goes on as a failover when that breaks. */
export async function askHandOver(context: OrderContext, decision: HostDecision): Promise<void> {
  const { keeper, clients, config } = context;
  await keeper.refresh();
  const { record, watch } = keeper.view();
  if (record === null || watch.lease === null || !keeper.isHolder() || record.operation !== null) return;
  const reason = `${decision.rule}: ${decision.details?.['disk_detail'] ?? decision.reason}`.slice(0, 200);
  // Each request is one of its own: one that was refused must not keep the next from being made.
  const name = `${record.cluster}-${record.uid}-e${watch.lease.epoch}-${randomUUID().slice(0, 8)}`;
  const input = JSON.stringify({
    cluster: record.cluster,
    kind: 'failover',
    reason,
    requestedBy: config.node,
    epoch: watch.lease.epoch,
  });
  const answer = await clients.startFailover(name.slice(-80), input);
  context.emit('hand_over_requested', `${decision.reason}: ${answer}`, {
    rule: decision.rule,
    epoch: watch.lease.epoch,
    ...(decision.details === undefined ? {} : { details: decision.details }),
  });
}

type HandedOver = 'released' | 'not-released' | 'processes-remain';

/** Kills everything and gives the lease up, saying how far the log reaches where that was proven to be elsewhere. */
export async function killAndRelease(
  context: HostContext,
  decision: HostDecision,
  provenEnd: Lsn | null = null,
): Promise<HandedOver> {
  const { server, keeper, writer, letLapse } = context;
  const killed = await server.node.killAll(decision.reason);
  if (killed.remaining.length > 0) {
    // They hang in the kernel, and can acknowledge nothing before they die there. That is not proof enough to let go.
    letLapse();
    note(context, decision, `${killed.remaining.length} processes do not die: the lease is left to run out`);
    return 'processes-remain';
  }
  const given = await writeFresh(context, (seen) =>
    release(seen, writer, { operation: null, successor: null, releasedAtLsn: provenEnd }),
  );
  if (given.kind !== 'done') return 'not-released';
  note(context, decision, decision.reason);
  const at = provenEnd === null ? '' : `, the log's last record is at ${formatLsn(provenEnd)}`;
  context.emit('lease_released', `${decision.reason}${at}`, {
    rule: decision.rule,
    epoch: keeper.view().watch.lease?.epoch ?? null,
  });
  return 'released';
}

/** The event in which people read why a primary was restarted in place or handed over, with both expected times. */
export function note(context: HostContext, decision: HostDecision, message: string): void {
  const { in_place_ms: inPlace, hand_over_ms: handOver } = decision.details ?? {};
  const times =
    inPlace === undefined ? '' : ` (expected: ${inPlace} ms in place, ${handOver} ms by a hand-over)`;
  context.emit('recovery_decided', `${message}${times}`, {
    rule: decision.rule,
    epoch: context.keeper.view().watch.lease?.epoch ?? null,
    ...(decision.details === undefined ? {} : { details: decision.details }),
  });
}

/**
 * Where the log of this stopped server ends, if one of `successors` has all of it and may still be promoted: then nothing that was
 * ever acknowledged here is missing there. Whoever may not be promoted proves nothing: another would be, with less. Null with
 * the reason otherwise.
 */
export async function proveEnd(
  context: Pick<HostContext, 'config' | 'keeper' | 'nodes' | 'server' | 'certificates'>,
  successors: readonly NodeId[],
  ask: typeof askStandbyPosition = askStandbyPosition,
): Promise<
  { readonly lastRecord: Lsn; readonly by: string } | { readonly lastRecord: null; readonly reason: string }
> {
  const end = await context.server.node.walEnd();
  if (end.kind !== 'wal-end') return { lastRecord: null, reason: end.reason };
  const epoch = context.keeper.view().watch.lease?.epoch ?? null;
  const standbys = context
    .nodes()
    .filter(({ node }) => node !== context.config.node && successors.includes(node))
    .filter((report) => report.epoch === epoch && report.role === 'standby' && maySucceed(report));
  const answers = await Promise.all(
    standbys.map(async (report) => ({
      node: report.node,
      position: await ask(context.config, report.addresses, context.certificates.trusted()),
    })),
  );
  const complete = answers.find(({ position }) => position !== null && hasAll(position, end));
  if (complete !== undefined) return { lastRecord: end.lastRecordLsn, by: complete.node };
  const seen = answers.map(
    ({ node, position }) => `${node}: ${position === null ? 'no answer' : formatLsn(position)}`,
  );
  return { lastRecord: null, reason: `the log ends at ${formatLsn(end.endLsn)}; ${seen.join(', ')}` };
}

/** `position` is what a standby has flushed: the end of the last record itself, or beyond. */
function hasAll(position: Lsn, end: WalEnd & { kind: 'wal-end' }): boolean {
  return position >= end.endLsn;
}
