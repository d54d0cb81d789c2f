/**
 * The hand-over's second half, `acquire-and-promote`: prepare while clients are still served, wait for the lease to be free for
 * this node, take it, promote. The same for a failover. A promotion that fails gives the lease back, and says whether this
 * node was certainly never writable.
 */
import { acquire, release } from '../../core/lease/lease-write.ts';
import { epochRecord } from '../../core/model/cluster-record.ts';
import { formatLsn, type Lsn, parseLsn } from '../../core/model/lsn.ts';
import type { Action } from '../../core/model/operation.ts';
import { type ActionContext, type ActionOutcome, failed, succeeded } from '../action-runner.ts';
import type { HostContext } from './host-context.ts';
import { prepareToPromote, promoteUnderLease, untilNotHeldBack } from './primary-work.ts';
import { readyToPromote, startAlone } from './ready-to-promote.ts';
import { awaitsPrepared, promptProofMs } from './synchronous-names.ts';
import { writeFresh } from './write-fresh.ts';

const betweenPreparationsMs = 250;
/** How long at most the end of a promotion waits for the proxies. */
const letInMs = 150;

/** The hand-over's second half: wait for the lease to be free for this node, take it, promote. */
export async function acquireAndPromote(
  context: HostContext,
  action: Action,
  run: ActionContext,
): Promise<ActionOutcome> {
  // All that can be done before the lease is free is done now, while clients are still served.
  await prepareToPromote(context);
  await prepareNames(context, action, run);
  const { journal, server } = context;
  const { operation, epoch } = action;
  // In a failover it was set when the receiver ended, a durable fact of its own; clients wait for this promotion.
  const entry = server.node.expectsPromotion()
    ? null
    : await journal.tryBegin(
        { verb: 'acquire-and-promote', operation, epoch, node: null },
        'promotion-expected',
      );
  await server.node.expectPromotion(true);
  const outcome = await takeOver(context, action, run).finally(() => context.clientsWait(false));
  void server.node.expectPromotion(false).then(() => {
    if (entry !== null) journal.closeSoon(entry, outcome.ok ? 'done' : outcome.error);
  });
  return outcome;
}

/**
 * The names of the new epoch, while the old primary still serves: it does not begin to stop before this action is marked as prepared.
 * Without synchronous replication there is nothing to wait for, and no mark.
 */
async function prepareNames(context: HostContext, action: Action, run: ActionContext): Promise<void> {
  const { keeper, names } = context;
  const deadlineMs = context.now() + promptProofMs;
  for (;;) {
    const { record, watch } = keeper.view();
    const held = watch.lease?.state === 'held';
    // The old primary waits for it; where the lease is free nobody does, but clients for the promotion.
    const isAwaited = awaitsPrepared(record) && held && watch.lease?.epoch === action.epoch;
    const named = await names.prepare(context, held ? null : watch.lease);
    if (typeof named !== 'string') {
      if (isAwaited) await run.prepared();
      return;
    }
    run.say(`synchronous names are not in force yet: ${named}`);
    if (!isAwaited || context.now() >= deadlineMs || run.signal.aborted) return;
    await keeper.until(() => keeper.view().watch.lease?.state !== 'held', betweenPreparationsMs);
  }
}

async function takeOver(context: HostContext, action: Action, run: ActionContext): Promise<ActionOutcome> {
  const { keeper } = context;
  const forMe = (): boolean => {
    const lease = keeper.view().watch.lease;
    return (
      lease !== null &&
      lease.state !== 'held' &&
      lease.successor === context.config.node &&
      lease.operation === action.operation
    );
  };
  const mine = (): boolean => keeper.isHolder() && (keeper.view().watch.lease?.epoch ?? 0) > action.epoch;
  const over = (): boolean => run.signal.aborted || keeper.view().record?.operation?.id !== action.operation;
  if (!(await keeper.until(() => forMe() || mine() || over(), action.timeoutMs)) || over()) {
    return failed('lease-not-free', 'the lease was not released to this node in time', {
      neverPromoted: !tookIt(context, action),
    });
  }
  context.clientsWait(true);
  // Where the old primary stopped: whoever gets the lease next must have replayed past it too.
  let releasedAt = keeper.view().watch.lease?.releasedAtLsn ?? null;
  if (mine()) releasedAt = await releasedBefore(context, action);
  else {
    const refusal = await takeLease(context, action, run);
    if (refusal !== null) return refusal;
  }
  const promoted = await promoteUnderLease(context, run.say);
  if (promoted.kind === 'failed') return await giveBack(context, action, run, promoted.reason, releasedAt);
  // A proxy says so when it has let clients in. What comes now would compete with that.
  if ((keeper.view().record?.proxies.length ?? 0) > 0) await context.nextWake(letInMs);
  // From the next look on `/primary` says so too.
  context.clientsWait(false);
  context.reportSoon();
  const epoch = keeper.view().watch.lease?.epoch ?? 0;
  context.emit('primary_promoted', `timeline ${promoted.timeline}`, { epoch, operation: action.operation });
  return succeeded(`primary of epoch ${epoch}`, {
    epoch,
    timeline: promoted.timeline,
    ...(promoted.forkLsn === null ? {} : { forkLsn: formatLsn(promoted.forkLsn) }),
  });
}

/** The lease names this node as the holder of a later epoch than the order's: what was done in it is not known here. */
function tookIt({ keeper, config }: HostContext, action: Action): boolean {
  const { lease } = keeper.view().watch;
  return lease !== null && lease.holder === config.node && lease.epoch > action.epoch;
}

/**
 * An action that is taken up again finds the lease taken, and so without the position that it was released at. The operation's
 * `stop-and-release` of the epoch before has reported it: a lease that was released is changed by its acquire alone. Null where
 * it has not: then nothing is claimed.
 */
async function releasedBefore(context: HostContext, action: Action): Promise<Lsn | null> {
  const epoch = context.keeper.view().watch.lease?.epoch ?? 0;
  const read = await context.store.readOperation(action.operation, { timeoutMs: 1_000 });
  if (read.kind !== 'ok') return null;
  const stopped = read.value.actions.find(
    (one) => one.verb === 'stop-and-release' && one.epoch + 1 === epoch && one.result?.ok === true,
  );
  const position = stopped?.result?.releasedAtLsn;
  return position === undefined ? null : parseLsn(position);
}

async function takeLease(
  context: HostContext,
  action: Action,
  run: ActionContext,
): Promise<ActionOutcome | null> {
  const { keeper, writer } = context;
  // A lease that was sealed: its holder may rely on a promise of this node for as long.
  if (keeper.view().watch.lease?.state === 'sealed') await untilNotHeldBack(context, run.say);
  const seen = keeper.view().watch.lease;
  if (seen === null) return failed('lease-lost', 'the lease vanished', { neverPromoted: true });
  const ready = await readyToPromote(context, seen.releasedAtLsn, () => startAlone(context));
  if (ready !== null) return failed('not-caught-up', ready, { neverPromoted: true });
  context.disk.reload();
  if (seen.epoch < context.disk.facts().highestEpoch) {
    return failed('fenced', `this host has seen epoch ${context.disk.facts().highestEpoch}`, {
      neverPromoted: true,
    });
  }
  if (seen.epoch + 1 <= context.disk.facts().fencedEpoch) {
    return failed('fenced', `this host is barred from epoch ${seen.epoch + 1}`, { neverPromoted: true });
  }
  // In force before the lease is taken: nothing may be acknowledged by a rule that is not recorded.
  const rule = await context.names.prepare(context, seen);
  if (typeof rule === 'string')
    return failed('names-not-in-force', `synchronous names: ${rule}`, { neverPromoted: true });
  const record = keeper.view().record;
  const taken = await keeper.write(
    acquire(seen, writer, action.operation, {
      ttlMs: record?.spec.ttlMs ?? seen.ttlMs,
      members: record?.members ?? seen.members,
      sync: context.names.syncOf(context, seen, rule),
    }),
  );
  // Uncertain proves nothing: the write may still land.
  if (taken.kind !== 'done')
    return failed('lease-lost', `the lease could not be taken: ${taken.kind}`, {
      neverPromoted: taken.kind === 'refused',
    });
  context.disk.enterEpoch(taken.lease.epoch);
  run.say(`lease taken, epoch ${taken.lease.epoch}`);
  context.emit('lease_acquired', `from ${seen.holder}, which was ${seen.state}`, {
    epoch: taken.lease.epoch,
    operation: action.operation,
  });
  return null;
}

/**
 * The promotion failed. The lease goes back only once PostgreSQL is down, and says that nothing was written in its epoch only where that
 * is certain. A server that answers as primary under the lease is not stopped (H8): it serves, or the host's table sees why not.
 */
async function giveBack(
  context: HostContext,
  action: Action,
  run: ActionContext,
  reason: string,
  releasedAt: Lsn | null,
): Promise<ActionOutcome> {
  const { server, keeper, writer } = context;
  const { watch, record } = keeper.view();
  const epoch = watch.lease?.epoch ?? 0;
  context.emit('promotion_failed', reason, { epoch, operation: action.operation });
  if (keeper.isHolder() && (await server.answersAsPrimary())) {
    run.say('PostgreSQL runs as primary under the lease: neither is given up');
    return failed('promotion-failed', `${reason}; PostgreSQL runs as primary`, { neverPromoted: false });
  }
  // Clients may have entered an epoch that is recorded, whatever its server has become since.
  const entered = record === null || epochRecord(record, epoch) !== null;
  const killed = await server.node.killAll('a promotion that failed');
  const control = await server.node.controlFile();
  const standbyStates = ['in-archive-recovery', 'shut-down-in-recovery'];
  const closed = control.kind === 'control-data' && standbyStates.includes(control.state);
  const never = killed.remaining.length === 0 && closed && !entered;
  if (killed.remaining.length > 0) return failed('promotion-failed', `${reason}; its processes do not die`);
  // The last look may be from before all this: there is nothing left to fence.
  server.nowShutDown(null);
  const given = await writeFresh(context, (seen) =>
    release(seen, writer, {
      operation: action.operation,
      successor: null,
      releasedAtLsn: never ? releasedAt : null,
      neverPromoted: never,
    }),
  );
  run.say(`gave the lease back: ${given.kind}, never promoted: ${never}`);
  return failed('promotion-failed', reason, { neverPromoted: never });
}
