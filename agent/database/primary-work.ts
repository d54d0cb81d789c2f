/**
 * Becoming and being primary: promotion, recording the epoch, slots for every member, restart in place. Shared by the
 * workflow's actions and the agent's own decisions, so that there is one way to become writable. Upholds H1: nothing
 * here makes PostgreSQL writable unless the lease is held, proven on this host's clock, at an epoch that is not barred; and D2: a
 * promise to a former holder is kept.
 */
import { createStandbySignal } from '../../adapters/postgres/configuration.ts';
import type { WritableResult } from '../../adapters/postgres/promote.ts';
import {
  type ClusterRecord,
  type EpochRecord,
  epochRecord,
  recordedEpochs,
} from '../../core/model/cluster-record.ts';
import type { Lease } from '../../core/model/lease.ts';
import type { Lsn } from '../../core/model/lsn.ts';
import type { TimelineHistory } from '../../core/model/timeline.ts';
import type { DiskState } from '../disk-state.ts';
import type { LeaseKeeper } from '../lease-keeper.ts';
import type { HostContext } from './host-context.ts';
import { slotName } from './server.ts';

const promoteTimeoutMs = 20_000;
const startTimeoutMs = 60_000;
const slotTimeoutMs = 2_000;
/** Compare-and-set rounds on the record: others change it too. */
const maxRecordAttempts = 10;

export type PrimaryResult =
  | { readonly kind: 'primary'; readonly timeline: number; readonly forkLsn: Lsn | null }
  | { readonly kind: 'failed'; readonly reason: string };

/** The lease is held by this agent, at an epoch that this host may serve, at this instant. */
export function mayOpen(context: {
  readonly keeper: Pick<LeaseKeeper, 'view' | 'isHolder'>;
  readonly disk: Pick<DiskState, 'reload' | 'facts'>;
}): boolean {
  const { watch, holdStage } = context.keeper.view();
  context.disk.reload();
  const epoch = watch.lease?.epoch ?? 0;
  const { fencedEpoch, highestEpoch } = context.disk.facts();
  return context.keeper.isHolder() && holdStage === 'valid' && epoch > fencedEpoch && epoch >= highestEpoch;
}

/**
 * Sees to it that the next promotion begins a timeline above every recorded one. Done once when the hand-over is armed, and
 * again, as a look at what is there, right before the promotion. Null, or why it cannot be had.
 */
export async function prepareToPromote(context: HostContext): Promise<string | null> {
  const { server, keeper } = context;
  const { record, watch } = keeper.view();
  const timelines = (record?.epochs ?? []).map((epoch) => epoch.timeline);
  const highest = Math.max(watch.lease?.timeline ?? 0, ...timelines);
  // A standby that is already beyond is asked for nothing: the usual case.
  const current = server.last()?.observation?.timeline;
  if (current !== undefined && current >= highest) return null;
  const reserved = await server.node.ensureTimelineAbove(highest, current);
  return reserved.kind === 'refused' ? reserved.reason : null;
}

/** The host's clock goes in steps. */
const clockStepMs = 20;

/** Waits until no promise to a former holder forbids taking over, which is within ttl' by itself: nobody asks a holder. */
export async function untilNotHeldBack(context: HostContext, say: (line: string) => void): Promise<void> {
  const { keeper, now } = context;
  const back = keeper.view().heldBack;
  if (back === null) return;
  const waitMs = Math.max(1, back.untilMs - now() + clockStepMs);
  say(`waits ${Math.round(waitMs)} ms: ${back.rule}`);
  await keeper.until(() => keeper.view().heldBack === null, waitMs);
}

/**
 * Promotes this standby under a lease that it holds, and records the epoch before a client may enter. A server that a former
 * attempt or a former agent has promoted is left as it is: its clients are being served (H8).
 */
export async function promoteUnderLease(
  context: HostContext,
  say: (line: string) => void,
): Promise<PrimaryResult> {
  return await context.server.opens(async () => await promoteOrFind(context, say));
}

async function promoteOrFind(context: HostContext, say: (line: string) => void): Promise<PrimaryResult> {
  const { server, keeper } = context;
  const lease = keeper.view().watch.lease;
  if (lease === null || !mayOpen(context))
    return { kind: 'failed', reason: 'the lease is not held at this instant' };
  let already = await server.answersAsPrimary();
  if (!already) {
    const refused = await orderPromotion(context, lease, say);
    // A former order may have come to its end meanwhile: then this one is refused, and was not needed.
    already = refused !== null && (await server.answersAsPrimary());
    if (refused !== null && !already) return { kind: 'failed', reason: refused };
  }
  if (already) say('PostgreSQL runs as primary already: no second promotion');
  if (context.disk.facts().dataEpoch !== lease.epoch) context.disk.enterEpoch(lease.epoch);
  const writable = await server.node.awaitWritable(promoteTimeoutMs);
  if (writable.kind !== 'writable') {
    return { kind: 'failed', reason: `not writable within ${promoteTimeoutMs} ms: ${describe(writable)}` };
  }
  say(`writable after ${Math.round(writable.ms)} ms on timeline ${writable.timeline}`);
  const recorded = await recordEpoch(context, writable.timeline, writable.history);
  if (!recorded) return { kind: 'failed', reason: 'the epoch could not be recorded' };
  server.nowFollows(null);
  server.forgetStandby();
  return { kind: 'primary', timeline: writable.timeline, forkLsn: writable.forkLsn };
}

/**
 * What only a standby needs before it is promoted, and the order. Null, or why it was not given. On a primary the names are
 * not touched: they are in force since its promotion, and change only with the lease.
 */
async function orderPromotion(
  context: HostContext,
  lease: Lease,
  say: (line: string) => void,
): Promise<string | null> {
  const { server, keeper } = context;
  await untilNotHeldBack(context, say);
  if (context.disk.facts().dataEpoch !== lease.epoch) context.disk.enterEpoch(lease.epoch);
  const refused = await prepareToPromote(context);
  if (refused !== null) return refused;
  const unnamed = await context.names.ensure(context, lease.sync.next ?? lease.sync);
  if (unnamed !== null) return `synchronous names: ${unnamed}`;
  if (!mayOpen(context)) return 'the lease was lost before the promotion';
  const back = keeper.view().heldBack;
  if (back !== null) return `held back from promoting: ${back.rule}`;
  const ordered = await server.node.promote();
  if (ordered.kind === 'failed') return ordered.reason;
  say('pg_promote(), as pg_ctl promote orders it');
  context.log('info', 'promotion ordered', { epoch: lease.epoch });
  return null;
}

function describe(result: Exclude<WritableResult, { kind: 'writable' }>): string {
  return result.last.kind === 'query-failed'
    ? `${result.last.sqlstate} ${result.last.message}`
    : result.last.kind;
}

/** Writes what this epoch is. Clients are let in only after this. */
export async function recordEpoch(
  context: HostContext,
  timeline: number,
  history: TimelineHistory,
): Promise<boolean> {
  const { keeper, store, config } = context;
  for (let attempt = 0; attempt < maxRecordAttempts; attempt += 1) {
    const { record, watch } = keeper.view();
    const lease = watch.lease;
    if (record === null || lease === null || !keeper.isHolder()) return false;
    const known = epochRecord(record, lease.epoch);
    // One timeline an epoch: what all others go by is never changed behind their backs.
    if (known !== null) return known.node === config.node && known.timeline === timeline;
    const epoch: EpochRecord = {
      epoch: lease.epoch,
      node: config.node,
      timeline,
      forkLsn: history.ancestors.at(-1)?.switchLsn ?? null,
      history: history.ancestors,
    };
    const epochs = [...record.epochs, epoch].slice(-recordedEpochs);
    const answer = await store.updateRecord(
      { expect: { version: record.version }, set: { epochs, intendedPrimary: config.node } },
      { timeoutMs: 1_000 },
    );
    if (answer.kind === 'ok') {
      keeper.learnRecord(answer.value);
      context.wakeUp.wake('epoch');
      return true;
    }
    await keeper.refresh();
  }
  return false;
}

/** Restart in place: this node holds the lease and its PostgreSQL is down. Leftovers are killed first. */
export async function startPrimaryInPlace(context: HostContext): Promise<PrimaryResult> {
  return await context.server.opens(async () => await startInPlace(context));
}

async function startInPlace(context: HostContext): Promise<PrimaryResult> {
  const { server } = context;
  const killed = await server.node.killAll('before a restart in place');
  if (killed.remaining.length > 0)
    return { kind: 'failed', reason: 'processes of the former server do not die' };
  await server.node.preparePrimary();
  await context.names.writeBeforeStart(context);
  if (!mayOpen(context)) {
    await createStandbySignal(server.node.host);
    return { kind: 'failed', reason: 'the lease is not held at this instant' };
  }
  const started = await server.node.start({ as: 'primary' });
  if (started.kind !== 'started') {
    return {
      kind: 'failed',
      reason: started.kind === 'failed' || started.kind === 'refused' ? started.reason : started.kind,
    };
  }
  // A fence bars and then looks; this starts and then looks: one of the two always sees the other.
  if (!mayOpen(context)) {
    await server.node.killAll('barred, or the lease was lost, while it was started');
    await createStandbySignal(server.node.host);
    return { kind: 'failed', reason: 'the lease is not held at this instant' };
  }
  const accepting = await server.node.awaitAccepting(started, startTimeoutMs);
  if (accepting.kind === 'exited')
    return { kind: 'failed', reason: `it ended at once: ${accepting.logTail.slice(-500)}` };
  if (accepting.kind === 'timed-out')
    return { kind: 'failed', reason: `not accepting connections: ${accepting.status}` };
  const look = await server.look();
  return { kind: 'primary', timeline: look.observation?.timeline ?? 0, forkLsn: null };
}

/** The slots of all other members, made before their standbys need them, on the primary and on every standby. */
export async function tendSlots(context: HostContext): Promise<void> {
  const { server, config, keeper } = context;
  const record: ClusterRecord | null = keeper.view().record;
  const observation = server.last()?.observation;
  if (record === null || observation === null || observation === undefined) return;
  const others = record.members.filter((member) => member !== config.node);
  const missing = others.filter(
    (member) => !observation.slots.some((slot) => slot.name === slotName(member)),
  );
  if (missing.length > 0) {
    const made = await server.node.ensurePhysicalSlots(missing.map(slotName), slotTimeoutMs);
    if (made.kind === 'failed')
      context.log('warn', 'slot not made', { slot: made.slot, error_kind: made.failure.kind });
    else context.reportSoon();
  }
  const idle = observation.slots.filter((slot) => !slot.active);
  const positions = idle.flatMap((slot) => {
    const owner = others.find((member) => slotName(member) === slot.name);
    const report = context.nodes().find((node) => node.node === owner);
    return report?.lsn == null || owner === undefined ? [] : [{ name: slot.name, lsn: report.lsn }];
  });
  if (positions.length === 0) return;
  const advanced = await server.node.advanceSlots(positions, slotTimeoutMs);
  if (advanced.kind === 'failed') {
    context.log('debug', 'slot not advanced', { slot: advanced.slot, error_kind: advanced.failure.kind });
  }
}
