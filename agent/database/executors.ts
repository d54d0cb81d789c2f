/**
 * The workflow's actions on a database host. Each is idempotent, checks by itself what it relies on, and says in its result
 * what it found; the runner has checked operation and epoch before. The hand-over (`stop-and-release` here,
 * `acquire-and-promote` there) passes the baton through the lease item alone: Step Functions has armed both before.
 */
import { acquire, announce, type LeaseWrite, release, withdraw } from '../../core/lease/lease-write.ts';
import { epochRecord } from '../../core/model/cluster-record.ts';
import type { Lease } from '../../core/model/lease.ts';
import { formatLsn, type Lsn, lsnBytesBetween, parseLsn } from '../../core/model/lsn.ts';
import type { Action, ActionVerb } from '../../core/model/operation.ts';
import {
  type ActionContext,
  type ActionOutcome,
  type Executor,
  failed,
  succeeded,
} from '../action-runner.ts';
import type { HostContext } from './host-context.ts';
import { askPrimaryPosition } from './other-node.ts';
import { prepareToPromote, promoteUnderLease } from './primary-work.ts';
import { followUpstream, startStandby, upstreamOf } from './standby-work.ts';

/** How long the proxies may take to pause before a hand-over is called off. */
const pauseLimitMs = 1_500;
const armedLimitMs = 10_000;
const stopLimitMs = 10_000;
const replayLimitMs = 10_000;
const checkEveryMs = 50;
const checkpointLimitMs = 5_000;
/** How long the answer to the state machine waits for the successor: nothing may compete with the hand-over. */
const successorLimitMs = 1_000;

export function databaseExecutors(context: HostContext): Partial<Record<ActionVerb, Executor>> {
  return {
    checkpoint: (action, run) => checkpoint(context, action, run),
    'await-catchup': (action, run) => awaitCatchUp(context, action, run),
    follow: (action, run) => followOrder(context, action, run),
    'end-receiver': (action, run) => endReceiver(context, action, run),
    'stop-and-release': (action, run) => stopAndRelease(context, action, run),
    'acquire-and-promote': (action, run) => acquireAndPromote(context, action, run),
  };
}

async function checkpoint(context: HostContext, action: Action, run: ActionContext): Promise<ActionOutcome> {
  const done = await context.server.node.checkpoint(action.timeoutMs);
  if (done.kind !== 'done') return failed(done.kind, 'CHECKPOINT failed');
  run.say(`CHECKPOINT took ${Math.round(done.ms)} ms`);
  return succeeded('checkpoint done');
}

/** The target's replay must be close behind the primary's writes, streaming, and not paused. */
async function awaitCatchUp(
  context: HostContext,
  action: Action,
  run: ActionContext,
): Promise<ActionOutcome> {
  const upstream = upstreamOf(context, action.args.node ?? '');
  if (upstream === null) return failed('unreachable', `where ${action.args.node} is reached is not known`);
  const limit = action.args.maxLagBytes ?? 0;
  const deadline = context.now() + action.timeoutMs;
  let last = 'nothing seen';
  while (!run.signal.aborted && context.now() < deadline) {
    const { observation } = await context.server.look();
    const position = await askPrimaryPosition(context.config, upstream);
    if (observation === null || position === null) last = 'primary or standby does not answer';
    else if (observation.replayPaused) last = 'the replay is paused';
    else if (observation.receiver?.status !== 'streaming') last = 'not streaming';
    else if (observation.replayedLsn !== null) {
      const lag = lsnBytesBetween(observation.replayedLsn, position);
      if (lag <= limit) {
        run.say(`replay is ${lag} bytes behind ${formatLsn(position)}`);
        return succeeded(`${lag} bytes behind`, {
          timeline: observation.timeline,
          replayedLsn: formatLsn(observation.replayedLsn),
        });
      }
      last = `${lag} bytes behind`;
    }
    await new Promise((resolve) => setTimeout(resolve, checkEveryMs));
  }
  return failed(
    'not-caught-up',
    `not within ${limit} bytes of the primary in ${action.timeoutMs} ms: ${last}`,
  );
}

async function followOrder(context: HostContext, action: Action, run: ActionContext): Promise<ActionOutcome> {
  await context.keeper.refresh();
  await context.readNodes();
  const upstream = upstreamOf(context, action.args.node ?? '');
  if (upstream === null) return failed('unreachable', `where ${action.args.node} is reached is not known`);
  const streams = async (): Promise<boolean> => {
    const awaited = await context.server.node.awaitStreaming(upstream, Math.max(1, action.timeoutMs - 500));
    return awaited.kind === 'streaming';
  };
  const look = await context.server.look();
  if (look.postgres.kind === 'primary') return failed('is-primary', 'a primary follows nobody');
  const newEpoch = upstream.epoch > context.disk.facts().dataEpoch;
  // Within one epoch (a cascade before a hand-over) nothing can have diverged. Across epochs the agent judges first.
  if (look.postgres.kind === 'standby' && !newEpoch) {
    const followed = await followUpstream(context, upstream);
    if (followed.kind === 'failed') return failed('not-following', followed.reason);
    run.say(followed.message);
  } else {
    run.say(`epoch ${upstream.epoch} is new here: the agent judges how to join it`);
    run.onlyWatches();
    context.reportSoon();
  }
  return (await streams())
    ? succeeded(`streams from ${upstream.node}`)
    : failed('not-streaming', `does not stream from ${upstream.node} yet`);
}

/** Ends the WAL receiver for good, as far as this epoch goes, and says how far this node's log reaches. */
async function endReceiver(context: HostContext, action: Action, run: ActionContext): Promise<ActionOutcome> {
  const { server, disk, keeper } = context;
  disk.endedReceiver({ operation: action.operation, epoch: action.epoch });
  let look = await server.look();
  if (look.postgres.kind === 'primary') return failed('is-primary', 'this node runs as primary');
  if (look.dataDirectory !== 'present')
    return failed('no-data', `the data directory is ${look.dataDirectory}`);
  if (look.postgres.kind === 'stopped') {
    const started = await startStandby(context, null);
    if (started.kind === 'failed') return failed('not-started', started.reason);
    run.say('started as a standby of nobody');
  }
  // It follows nobody from here on: looking for more log costs nothing, and a promotion may come.
  const ending = server.node.endReceiver(Math.max(1_000, action.timeoutMs - 500));
  const ended = await ending;
  void server.node.expectPromotion(true);
  server.nowFollows(null);
  if (ended.kind === 'unknown') return failed('unknown', ended.reason);
  look = await server.look();
  keeper.readNow();
  run.say(`receiver ended at ${formatLsn(ended.positionLsn)} on timeline ${ended.timeline}`);
  return succeeded(`at ${formatLsn(ended.positionLsn)}`, {
    timeline: ended.timeline,
    receivedLsn: formatLsn(ended.positionLsn),
    replayedLsn: formatLsn(ended.replayedLsn),
    epoch: disk.facts().dataEpoch,
  });
}

/** The hand-over's first half: wait until all is armed, announce, wait for the pause, stop, release. */
async function stopAndRelease(
  context: HostContext,
  action: Action,
  run: ActionContext,
): Promise<ActionOutcome> {
  const { keeper, writer } = context;
  const target = action.args.node;
  if (target === undefined) return failed('invalid-input', 'stop-and-release needs args.node, the successor');
  if (!keeper.isHolder()) return failed('not-holder', 'this agent does not hold the lease');
  if (!(await allArmed(context, action)))
    return failed('not-armed', 'the others have not taken up their actions');
  const lease = keeper.view().watch.lease;
  if (lease === null || lease.epoch !== action.epoch) return failed('fenced', 'the lease moved');
  // While clients are still served: what is written now need not be written by the shutdown.
  await context.server.node.checkpoint(checkpointLimitMs);
  const announced = await writeFresh(context, (seen) => announce(seen, writer, action.operation, target));
  if (announced.kind !== 'done') return failed('not-announced', announced.kind);
  const announcedMs = context.now();
  const paused = await proxiesPaused(context, action);
  if (paused !== null) {
    await callOff(context);
    return failed('not-paused', paused);
  }
  run.say(`proxies paused after ${Math.round(context.now() - announcedMs)} ms`);
  context.setHandingOver(true);
  const postmaster = await context.server.node.findPostmaster();
  const stopped = await context.server.node.stopFast(stopLimitMs);
  if (stopped.kind !== 'stopped' || !stopped.cleanShutdown || stopped.as !== 'primary') {
    // Not clean: what was acknowledged may not be elsewhere. The lease stays, and the agent restarts PostgreSQL in place.
    await context.server.node.killAll('a shutdown that did not end');
    await callOff(context);
    return failed('not-stopped', `no clean shutdown within ${stopLimitMs} ms: ${stopped.kind}`);
  }
  run.say(
    `pg_ctl stop: clean shutdown, checkpoint at ${formatLsn(stopped.checkpointLsn)}, ${Math.round(stopped.ms)} ms`,
  );
  context.server.nowShutDown(postmaster);
  const given = await writeFresh(context, (seen) =>
    release(seen, writer, {
      operation: action.operation,
      successor: target,
      releasedAtLsn: stopped.checkpointLsn,
    }),
  );
  context.setHandingOver(false);
  if (given.kind !== 'done') return failed('not-released', given.kind);
  context.emit('lease_released', `to ${target} at ${formatLsn(stopped.checkpointLsn)}`, {
    epoch: lease.epoch,
    operation: action.operation,
  });
  await keeper.until(() => isOpen(context, action.epoch + 1), successorLimitMs);
  // Walsenders may still be sending the last records; what is left after that is killed before the next start.
  await context.server.node.awaitGone(1_000);
  await context.server.node.killAll('after the release');
  return succeeded(`released at ${formatLsn(stopped.checkpointLsn)}`, {
    releasedAtLsn: formatLsn(stopped.checkpointLsn),
    timeline: stopped.timeline,
  });
}

/** A write of the holder's that names the seq it was decided on: its own renewal may come between, so it is tried anew. */
async function writeFresh(
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

/** That epoch is recorded: clients are let in. */
function isOpen(context: HostContext, epoch: number): boolean {
  const { record } = context.keeper.view();
  return record !== null && epochRecord(record, epoch) !== null;
}

async function callOff(context: HostContext): Promise<void> {
  context.setHandingOver(false);
  await writeFresh(context, (seen) => withdraw(seen, context.writer));
}

async function allArmed(context: HostContext, action: Action): Promise<boolean> {
  const needed = action.args.armed ?? [];
  const deadline = context.now() + armedLimitMs;
  while (context.now() < deadline) {
    const read = await context.store.readOperation(action.operation, { timeoutMs: 1_000 });
    if (read.kind === 'ok') {
      const claimed = new Set(
        read.value.actions.filter((one) => one.claimedBy !== null).map((one) => one.action),
      );
      if (needed.every((one) => claimed.has(one))) return true;
    }
    await context.keeper.until(() => false, 25);
  }
  return false;
}

/** Null when every proxy that takes part has paused; else who has not, and why. */
async function proxiesPaused(context: HostContext, action: Action): Promise<string | null> {
  const needed = action.args.proxies ?? [];
  const deadline = context.now() + pauseLimitMs;
  let waiting: readonly string[] = needed;
  while (waiting.length > 0) {
    const read = await context.store.readProxies({ timeoutMs: 500 });
    if (read.kind === 'ok') {
      const gaveUp = read.value.find((proxy) => proxy.pauseFailedFor === action.operation);
      if (gaveUp !== undefined) return `${gaveUp.proxy} could not pause: ${gaveUp.detail}`;
      const paused = new Set(
        read.value
          .filter((proxy) => proxy.paused && proxy.pausedFor === action.operation)
          .map((proxy) => proxy.proxy),
      );
      waiting = needed.filter((proxy) => !paused.has(proxy));
    }
    if (waiting.length === 0) return null;
    if (context.now() > deadline) return `${waiting.join(', ')} did not pause within ${pauseLimitMs} ms`;
    await context.nextWake(5);
  }
  return null;
}

/** The hand-over's second half: wait for the lease to be free for this node, take it, promote. */
async function acquireAndPromote(
  context: HostContext,
  action: Action,
  run: ActionContext,
): Promise<ActionOutcome> {
  // All that can be done before the lease is free is done now, while clients are still served.
  await prepareToPromote(context);
  await context.server.node.expectPromotion(true);
  const outcome = await takeOver(context, action, run);
  void context.server.node.expectPromotion(false);
  return outcome;
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
      neverPromoted: true,
    });
  }
  // Where the old primary stopped: whoever gets the lease next must have replayed past it too.
  const releasedAt = keeper.view().watch.lease?.releasedAtLsn ?? null;
  if (!mine()) {
    const refusal = await takeLease(context, action, run);
    if (refusal !== null) return refusal;
  }
  const promoted = await promoteUnderLease(context, run.say);
  if (promoted.kind === 'failed') return await giveBack(context, action, run, promoted.reason, releasedAt);
  const epoch = keeper.view().watch.lease?.epoch ?? 0;
  context.emit('primary_promoted', `timeline ${promoted.timeline}`, { epoch, operation: action.operation });
  context.reportSoon();
  return succeeded(`primary of epoch ${epoch}`, {
    epoch,
    timeline: promoted.timeline,
    ...(promoted.forkLsn === null ? {} : { forkLsn: formatLsn(promoted.forkLsn) }),
  });
}

async function takeLease(
  context: HostContext,
  action: Action,
  run: ActionContext,
): Promise<ActionOutcome | null> {
  const { keeper, writer } = context;
  const seen = keeper.view().watch.lease;
  if (seen === null) return failed('lease-lost', 'the lease vanished', { neverPromoted: true });
  const ready = await readyToPromote(context, seen.releasedAtLsn);
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
  const record = keeper.view().record;
  const taken = await keeper.write(
    acquire(seen, writer, action.operation, {
      ttlMs: record?.spec.ttlMs ?? seen.ttlMs,
      members: record?.members ?? seen.members,
      sync: seen.sync,
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

/** A standby is ready when its replay is past the old primary's shutdown record. Null: ready. */
async function readyToPromote(context: HostContext, releasedAt: Lsn | null): Promise<string | null> {
  const { server } = context;
  const deadline = context.now() + replayLimitMs;
  let last = 'PostgreSQL did not answer';
  // One light question, for clients wait: a full look costs several and a connection of its own.
  while (context.now() < deadline) {
    const answer = await server.node.query(standbyPosition, positionTimeoutMs);
    if (answer.kind === 'rows') {
      const { standby, lsn } = answer.rows[0] ?? {};
      if (standby !== true) return 'PostgreSQL runs here as a primary';
      const replayed = typeof lsn === 'string' ? parseLsn(lsn) : null;
      if (releasedAt === null || (replayed !== null && replayed > releasedAt)) return null;
      last = `replay is at ${lsn}, the old primary stopped at ${formatLsn(releasedAt)}`;
    } else if (answer.kind === 'unreachable' && (await server.look()).postgres.kind === 'stopped') {
      const started = await startStandby(context, null);
      if (started.kind === 'failed') return started.reason;
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return last;
}

const standbyPosition = 'select pg_is_in_recovery() as standby, pg_last_wal_replay_lsn()::text as lsn';
const positionTimeoutMs = 1_000;

/** The promotion failed. The lease goes back only if PostgreSQL is down and was certainly never writable here. */
async function giveBack(
  context: HostContext,
  action: Action,
  run: ActionContext,
  reason: string,
  releasedAt: Lsn | null,
): Promise<ActionOutcome> {
  const { server, keeper, writer } = context;
  const epoch = keeper.view().watch.lease?.epoch ?? 0;
  context.emit('promotion_failed', reason, { epoch, operation: action.operation });
  const killed = await server.node.killAll('a promotion that failed');
  const control = await server.node.controlFile();
  const standbyStates = ['in-archive-recovery', 'shut-down-in-recovery'];
  const never =
    killed.remaining.length === 0 && control.kind === 'control-data' && standbyStates.includes(control.state);
  if (killed.remaining.length > 0) return failed('promotion-failed', `${reason}; its processes do not die`);
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
