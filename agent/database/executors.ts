/**
 * The workflow's actions on a database host. Each is idempotent, checks by itself what it relies on, and says in its result
 * what it found; the runner has checked operation and epoch before. The two halves of a hand-over are in `hand-over.ts` and
 * `take-over.ts`: they pass the baton through the lease item alone.
 */
import { formatLsn, lsnBytesBetween } from '../../core/model/lsn.ts';
import type { Action, ActionVerb } from '../../core/model/operation.ts';
import {
  type ActionContext,
  type ActionOutcome,
  type Executor,
  failed,
  succeeded,
} from '../action-runner.ts';
import { stopAndRelease } from './hand-over.ts';
import type { HostContext } from './host-context.ts';
import { askPrimaryPosition } from './other-node.ts';
import { followUpstream, startStandby, upstreamOf } from './standby-work.ts';
import { acquireAndPromote } from './take-over.ts';

const checkEveryMs = 50;

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
    // A primary that gave the lease up will not be caught up with: the operation must not wait its whole time for that.
    const { lease } = context.keeper.view().watch;
    if (lease !== null && (lease.state !== 'held' || lease.epoch !== action.epoch))
      return failed('lease-moved', `the lease is ${lease.state}, epoch ${lease.epoch}`);
    const { observation, postgres } = await context.server.look();
    // Nothing is started here while an action runs, and standbys that follow this one acknowledge nothing meanwhile.
    if (postgres.kind === 'stopped') return failed('not-running', 'PostgreSQL is down on this node');
    const position = await askPrimaryPosition(context.config, upstream, context.certificates.trusted());
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
    const { operation, epoch } = action;
    // Whom the server follows is not told by itself to an agent that starts anew; a target is not who the lease says.
    if (context.keeper.view().watch.lease?.holder !== upstream.node)
      await context.journal.tryBegin({ verb: 'follow', operation, epoch, node: upstream.node }, 'repointed');
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
