/**
 * The hand-over's first half, `stop-and-release`: wait until all is armed, announce it in the lease, wait for the proxies'
 * pause, stop PostgreSQL, release. Step Functions has armed both halves before and only hears of the end. Until the release
 * is sent everything can be called off, at the cost of a pause.
 */
import type { StopResult } from '../../adapters/postgres/lifecycle.ts';
import { announce, release, withdraw } from '../../core/lease/lease-write.ts';
import { epochRecord } from '../../core/model/cluster-record.ts';
import type { NodeId } from '../../core/model/lease.ts';
import { formatLsn } from '../../core/model/lsn.ts';
import type { Action } from '../../core/model/operation.ts';
import { type ActionContext, type ActionOutcome, failed, succeeded } from '../action-runner.ts';
import type { HostContext } from './host-context.ts';
import { awaitsPrepared } from './synchronous-names.ts';
import { writeFresh } from './write-fresh.ts';

/** How long the proxies may take to pause before a hand-over is called off. */
const pauseLimitMs = 1_500;
const armedLimitMs = 10_000;
/** A receiver that is started anew is back before. */
const targetGoneMs = 2_000;
const stopLimitMs = 10_000;
const checkpointLimitMs = 5_000;
/** How long the answer to the state machine waits for the successor: nothing may compete with the hand-over. */
const successorLimitMs = 1_000;

/** The hand-over's first half: wait until all is armed, announce, wait for the pause, stop, release. */
export async function stopAndRelease(
  context: HostContext,
  action: Action,
  run: ActionContext,
): Promise<ActionOutcome> {
  const { keeper } = context;
  const target = action.args.node;
  if (target === undefined) return failed('invalid-input', 'stop-and-release needs args.node, the successor');
  if (!keeper.isHolder()) return failed('not-holder', 'this agent does not hold the lease');
  const unarmed = await awaitArmed(context, action, target);
  if (unarmed !== null) return failed('not-armed', unarmed);
  const lease = keeper.view().watch.lease;
  if (lease === null || lease.epoch !== action.epoch) return failed('fenced', 'the lease moved');
  // While clients are still served: what is written now need not be written by the shutdown.
  await context.server.node.checkpoint(checkpointLimitMs);
  // One that is recovering from a crash, of a backend perhaps, cannot be stopped cleanly: no client is made to wait for that.
  if (!(await context.server.answersAsPrimary()))
    return failed(
      'not-serving',
      'PostgreSQL does not answer as a primary: it may be recovering from a crash',
    );
  const passed = await passOn(context, action, run, target);
  if (passed.kind === 'not-passed-on') return failed(passed.error, passed.reason);
  const { stopped } = passed;
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

type CleanStop = Extract<StopResult, { readonly kind: 'stopped'; readonly cleanShutdown: true }>;

type PassedOn =
  | { readonly kind: 'released'; readonly stopped: CleanStop }
  | { readonly kind: 'not-passed-on'; readonly error: string; readonly reason: string };

/** From the announcement to the release: clients wait. However it ends before the release is sent, it is called off. */
async function passOn(
  context: HostContext,
  action: Action,
  run: ActionContext,
  target: NodeId,
): Promise<PassedOn> {
  const { writer, server } = context;
  const not = (error: string, reason: string) => ({ kind: 'not-passed-on', error, reason }) as const;
  const postmaster = await server.node.findPostmaster();
  let releaseSent = false;
  try {
    const announced = await writeFresh(context, (seen) => announce(seen, writer, action.operation, target));
    if (announced.kind !== 'done') return not('not-announced', announced.kind);
    context.clientsWait(true);
    const announcedMs = context.now();
    const paused = await proxiesPaused(context, action);
    if (paused !== null) return not('not-paused', paused);
    run.say(`proxies paused after ${Math.round(context.now() - announcedMs)} ms`);
    context.setHandingOver(true);
    const stopped = await server.node.stopFast(stopLimitMs);
    if (stopped.kind !== 'stopped' || !stopped.cleanShutdown || stopped.as !== 'primary') {
      // Not clean: what was acknowledged may not be elsewhere. The lease stays, and the agent restarts PostgreSQL in place.
      await server.node.killAll('a shutdown that did not end');
      return not('not-stopped', `no clean shutdown within ${stopLimitMs} ms: ${stopped.kind}`);
    }
    run.say(
      `SIGINT, as pg_ctl stop sends it: clean shutdown, checkpoint at ${formatLsn(stopped.checkpointLsn)}, ${Math.round(stopped.ms)} ms`,
    );
    server.nowShutDown(postmaster);
    releaseSent = true;
    const given = await writeFresh(context, (seen) =>
      release(seen, writer, {
        operation: action.operation,
        successor: target,
        releasedAtLsn: stopped.checkpointLsn,
      }),
    );
    return given.kind === 'done' ? { kind: 'released', stopped } : not('not-released', given.kind);
  } finally {
    context.setHandingOver(false);
    context.clientsWait(false);
    if (!releaseSent) await writeFresh(context, (seen) => withdraw(seen, writer));
  }
}

/** That epoch is recorded: clients are let in. */
function isOpen(context: HostContext, epoch: number): boolean {
  const { record } = context.keeper.view();
  return record !== null && epochRecord(record, epoch) !== null;
}

/**
 * Claimed; with synchronous replication prepared too, for what takes the target long must not happen while nobody is served. Null when
 * all is, else why not. A target that streams no more is not waited for: standbys that follow it already acknowledge nothing.
 */
async function awaitArmed(context: HostContext, action: Action, target: NodeId): Promise<string | null> {
  const needed = action.args.armed ?? [];
  const startedMs = context.now();
  let streamedMs = startedMs;
  while (context.now() < startedMs + armedLimitMs) {
    const read = await context.store.readOperation(action.operation, { timeoutMs: 1_000 });
    if (read.kind === 'ok') {
      const { actions } = read.value;
      const { record } = context.keeper.view();
      const armed = (one: Action) =>
        one.claimedBy !== null && (one.prepared === true || !awaitsPrepared(record));
      if (needed.every((id) => actions.some((one) => one.action === id && armed(one)))) return null;
    }
    if (streamsTo(context, target) !== false) streamedMs = context.now();
    else if (context.now() - streamedMs >= targetGoneMs)
      return `${target} does not stream from here any more`;
    await context.keeper.until(() => false, 25);
  }
  return 'the others have not taken up their actions, or are not prepared';
}

/** By the last look at PostgreSQL; null where that saw nothing. */
function streamsTo(context: HostContext, node: NodeId): boolean | null {
  const observation = context.server.last()?.observation ?? null;
  if (observation === null) return null;
  return observation.replication.some(
    ({ applicationName, state }) => applicationName === node && state === 'streaming',
  );
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
