/**
 * Carries out what the host's decision table orders. One function an order; every `HostOrder` has its executor (a test
 * compares the two). Each reads again what it relies on and leaves a state that the table can decide on.
 */
import { randomUUID } from 'node:crypto';
import { renameSync } from 'node:fs';
import type { HostDecision, HostOrder } from '../../core/host/host-rules.ts';
import { needsFailover } from '../../core/host/host-rules.ts';
import { maySeal } from '../../core/lease/lease-clock.ts';
import { adopt, createLease, seal } from '../../core/lease/lease-write.ts';
import { type ClusterRecord, epochRecord } from '../../core/model/cluster-record.ts';
import type { NodeId } from '../../core/model/lease.ts';
import { formatSystemIdentifier } from '../../core/model/system-identifier.ts';
import { FIRST_TIMELINE } from '../../core/model/timeline.ts';
import { firstRule } from '../../core/synchronous/new-epoch.ts';
import type { ControlPlaneClients } from '../control-plane-clients.ts';
import { adoptDirectory } from './adopt-directory.ts';
import { askHandOver, killAndRelease, killHung, note, proveEnd } from './failed-primary.ts';
import type { HostContext } from './host-context.ts';
import { promoteUnderLease, recordEpoch, startPrimaryInPlace, tendSlots } from './primary-work.ts';
import { publishSystem } from './publish-system.ts';
import {
  cloneFrom,
  followUpstream,
  judge,
  rebuildFrom,
  rewindTo,
  type StandbyResult,
  startStandby,
  upstreamOf,
} from './standby-work.ts';
import { othersOf } from './synchronous-names.ts';

export interface OrderContext extends HostContext {
  readonly clients: ControlPlaneClients;
  /** PostgreSQL was restarted in place, or failed to: the count of the decision table. */
  readonly restartedInPlace: () => void;
}

type Execute = (context: OrderContext, decision: HostDecision) => Promise<void>;

/** Short orders run inside a round; long ones (`longOrders`) run beside the rounds, as `busy`. */
export const longOrders: ReadonlySet<HostOrder['kind']> = new Set<HostOrder['kind']>([
  'bootstrap',
  'adopt-directory',
  'clone',
  'rewind',
  'rebuild',
  'start-primary',
  'start-standby',
  'finish-promotion',
  'hand-over',
  'hand-over-if-proven',
  'ask-hand-over',
]);

export const executeOrder: Record<HostOrder['kind'], Execute> = {
  none: async () => undefined,
  alert: async (context, decision) => {
    context.emit('epoch_regressed', decision.reason, { rule: decision.rule });
  },
  'kill-postgres': async (context, decision) => {
    const evidence = await context.server.node.killAll(decision.reason);
    context.emit(
      'postgres_fenced',
      `${decision.reason}: ${evidence.killed} processes, ${Math.round(evidence.ms)} ms`,
      {
        rule: decision.rule,
        epoch: context.keeper.view().watch.lease?.epoch ?? null,
        ...(decision.details === undefined ? {} : { details: decision.details }),
      },
    );
  },
  register: (context) =>
    changeRecord(context, (record) => ({ members: [...record.members, context.config.node] })).then(
      (done) => {
        if (done) context.emit('node_joined', `${context.config.node} is a member`);
      },
    ),
  refuse: async (context, decision) => {
    const own = context.server.last()?.control?.systemIdentifier;
    const cluster = context.keeper.view().record?.systemIdentifier;
    const ids = `here ${own === undefined ? 'none' : formatSystemIdentifier(own)}, the cluster's ${cluster == null ? 'none' : formatSystemIdentifier(cluster)}`;
    context.emit('join_refused', `${decision.reason} (${ids})`, { rule: decision.rule });
  },
  bootstrap,
  'adopt-directory': adoptDirectory,
  'discard-bootstrap': discardBootstrap,
  'create-lease': createFirstLease,
  'adopt-lease': async (context) => {
    const lease = context.keeper.view().watch.lease;
    if (lease === null) return;
    const outcome = await context.keeper.write(adopt(lease, context.writer));
    if (outcome.kind === 'done')
      context.emit('lease_adopted', `epoch ${lease.epoch}`, { epoch: lease.epoch });
  },
  'start-primary': startPrimary,
  'finish-promotion': finishPromotion,
  'record-epoch': async (context) => {
    const timeline = context.server.last()?.observation?.timeline;
    if (timeline === undefined) return;
    const history = await context.server.node.history(timeline);
    await recordEpoch(
      context,
      timeline,
      history.kind === 'history' ? history.history : { ...FIRST_TIMELINE, timeline },
    );
  },
  'tend-primary': (context) => {
    context.names.tend(context);
    return tendSlots(context);
  },
  'hand-over': handOver,
  'let-lapse': async (context, decision) => {
    context.letLapse();
    note(context, decision, decision.reason);
  },
  'hand-over-if-proven': (context, decision) =>
    decision.order.kind === 'hand-over-if-proven'
      ? handOverIfProven(context, decision, decision.order.successors)
      : Promise.resolve(),
  'ask-hand-over': askHandOver,
  'kill-hung': killHung,
  clone: (context, { order }) => standby(context, order, async (upstream) => cloneFrom(context, upstream)),
  'start-standby': startAsStandby,
  follow: (context, { order }) => standby(context, order, (upstream) => followUpstream(context, upstream)),
  rewind: (context, { order }) =>
    standby(context, order, async (upstream) => rewindTo(context, upstream, await forkOf(context))),
  rebuild: (context, { order }) =>
    standby(context, order, async (upstream) => rebuildFrom(context, upstream, await forkOf(context))),
  seal: async (context, decision) => {
    const lease = context.keeper.view().watch.lease;
    const { watch } = context.keeper.view();
    if (lease === null || !maySeal(watch, context.config.node, context.now())) return;
    const outcome = await context.keeper.write(seal(lease));
    if (outcome.kind !== 'done') return;
    context.emit('lease_sealed', `${lease.holder} has not renewed`, {
      rule: decision.rule,
      epoch: lease.epoch,
    });
    await requestFailover(context, 'lease_sealed');
  },
  'request-failover': (context) => requestFailover(context, 'lease_unattended'),
};

/** Compare-and-set rounds: others write the record too. */
const maxRecordAttempts = 8;

async function changeRecord(
  context: HostContext,
  change: (record: ClusterRecord) => Partial<ClusterRecord> | null,
): Promise<boolean> {
  for (let attempt = 0; attempt < maxRecordAttempts; attempt += 1) {
    const record = context.keeper.view().record;
    const set = record === null ? null : change(record);
    if (record === null || set === null) return false;
    const answer = await context.store.updateRecord(
      { expect: { version: record.version }, set },
      { timeoutMs: 2_000 },
    );
    if (answer.kind === 'ok') {
      context.keeper.learnRecord(answer.value);
      return true;
    }
    await context.keeper.refresh();
  }
  return false;
}

/**
 * The first data directory: claimed by compare-and-set with a nonce, made, and its system identifier written only if the
 * claim is still ours. While initdb runs the claim's `seq` rises, so that others can tell work from silence.
 */
async function bootstrap(context: OrderContext, decision: HostDecision): Promise<void> {
  const { config, disk, store, keeper } = context;
  const former = keeper.view().record?.bootstrap ?? null;
  const finished = context.server.last()?.control;
  if (finished != null && former !== null && former.nonce === disk.facts().bootstrapNonce) {
    // The agent ended between initdb and the record: the claim is still this data directory's.
    await publishSystem(context, former.nonce, finished.systemIdentifier);
    return;
  }
  const nonce = randomUUID();
  disk.bootstrapped(nonce);
  const claimed = await store.updateRecord(
    {
      expect: { systemIdentifierAbsent: true, bootstrapNonce: former?.nonce ?? null },
      set: { bootstrap: { node: config.node, nonce, seq: 1 } },
    },
    { timeoutMs: 2_000 },
  );
  if (claimed.kind !== 'ok') {
    await keeper.refresh();
    return;
  }
  keeper.learnRecord(claimed.value);
  context.emit(former === null ? 'bootstrap_claimed' : 'bootstrap_taken_over', `by ${config.node}`, {
    rule: decision.rule,
  });
  const stopBeating = keepClaimAlive(context, nonce);
  try {
    const folder = nonce.slice(0, 8);
    const work = { verb: 'bootstrap', operation: null, epoch: 0, node: null, nonce: folder } as const;
    const entry = await context.journal.begin(work, 'initialising');
    const made = await context.server.node.initialise(folder);
    await context.journal.close(entry, made.kind);
    if (made.kind === 'initialised') await publishSystem(context, nonce, made.systemIdentifier);
    else {
      const error = made.kind === 'failed' ? `${made.step}: ${made.reason}` : made.kind;
      context.log('error', 'initdb failed', { error });
    }
  } finally {
    stopBeating();
    await keeper.refresh();
  }
}

const claimBeatMs = 1_000;

function keepClaimAlive(context: OrderContext, nonce: string): () => void {
  let seq = 1;
  const beat = setInterval(() => {
    seq += 1;
    const bootstrap = { node: context.config.node, nonce, seq };
    void context.store.updateRecord({ expect: { bootstrapNonce: nonce }, set: { bootstrap } });
  }, claimBeatMs);
  return () => clearInterval(beat);
}

/** Set aside by a rename: nothing was ever acknowledged from it, and still nothing is deleted here. */
async function discardBootstrap(context: OrderContext): Promise<void> {
  const { server, disk } = context;
  await server.node.killAll('a first data directory that lost the bootstrap');
  renameSync(server.node.host.dataDir, `${server.node.host.dataDir}.kept-${randomUUID().slice(0, 8)}`);
  disk.bootstrapped(null);
}

async function createFirstLease(context: OrderContext): Promise<void> {
  const { keeper, writer, disk } = context;
  const record = keeper.view().record;
  if (record === null || record.systemIdentifier === null) return;
  if (record.systemIdentifier !== context.server.last()?.control?.systemIdentifier) return;
  // 1 but where data was adopted.
  const timeline = context.server.last()?.control?.checkpointTimeline ?? FIRST_TIMELINE.timeline;
  const { mode } = record.spec.sync;
  const rule = firstRule({ spec: record.spec.sync, lease: null, others: othersOf(context) });
  const write = createLease(writer, {
    ...{ ttlMs: record.spec.ttlMs, timeline, members: record.members },
    sync: { ...rule, mode, next: null },
  });
  const outcome = await keeper.write(write);
  if (outcome.kind !== 'done') return;
  disk.sawEpoch(1);
  disk.dataBelongsTo(1);
  context.emit('lease_acquired', 'the first lease', { epoch: 1 });
}

async function startPrimary(context: OrderContext, decision: HostDecision): Promise<void> {
  const epoch = context.keeper.view().watch.lease?.epoch ?? null;
  const begun = context.now();
  const first = context.keeper.view().record?.epochs.length === 0;
  if (!first) {
    note(context, decision, decision.reason);
    // Counted before it is tried: what throws, as on a disk that takes no writes, is an attempt too.
    context.restartedInPlace();
  }
  const started = await startPrimaryInPlace(context);
  if (started.kind === 'primary') {
    context.emit(
      first ? 'postgres_started' : 'postgres_restarted_in_place',
      `${Math.round(context.now() - begun)} ms`,
      {
        rule: decision.rule,
        epoch,
        details: { ...decision.details, took_ms: Math.round(context.now() - begun) },
      },
    );
    context.reportSoon();
  } else context.log('error', 'PostgreSQL did not start as primary', { reason: started.reason, epoch });
}

async function finishPromotion(context: OrderContext): Promise<void> {
  if (context.server.last()?.postgres.kind !== 'standby') {
    const started = await startStandby(context, null);
    if (started.kind === 'failed') {
      context.restartedInPlace();
      return;
    }
    await context.server.look();
  }
  const promoted = await promoteUnderLease(context, (line) =>
    context.log('info', 'promotion', { detail: line }),
  );
  if (promoted.kind === 'failed') {
    // What was ordered may still come to its end, after the lease is lost perhaps: no standby stays behind with a promotion pending.
    if (!(await context.server.answersAsPrimary())) await context.server.node.killAll(promoted.reason);
    context.restartedInPlace();
    context.emit('promotion_failed', promoted.reason);
  } else context.emit('primary_promoted', `timeline ${promoted.timeline}`);
}

/** Everything is killed, the lease released, a failover requested. */
async function handOver(context: OrderContext, decision: HostDecision): Promise<void> {
  if ((await killAndRelease(context, decision)) === 'released') await requestFailover(context, decision.rule);
}

/** As `handOver`, but only to a standby that has the end of the log; otherwise the recovery in place is what keeps every write. */
async function handOverIfProven(
  context: OrderContext,
  decision: HostDecision,
  successors: readonly NodeId[],
): Promise<void> {
  const killed = await context.server.node.killAll(decision.reason);
  if (killed.remaining.length > 0) return;
  const proof = await proveEnd(context, successors);
  if (proof.lastRecord === null) {
    const inPlace = {
      ...decision,
      reason: `in place, for no standby has the end of the log: ${proof.reason}`,
    };
    await startPrimary(context, inPlace);
    return;
  }
  const proven = { ...decision, reason: `${decision.reason}: ${proof.by} has it` };
  const done = await killAndRelease(context, proven, proof.lastRecord);
  if (done === 'released') await requestFailover(context, decision.rule);
}

async function startAsStandby(context: OrderContext, decision: HostDecision): Promise<void> {
  const { keeper, config } = context;
  const { record, watch } = keeper.view();
  const { lease } = watch;
  // With no primary it is only brought up, following nobody; with one the table has judged that it may follow. Before its epoch is
  // recorded there is nothing to judge by, and what is here may lie past the fork.
  const open = lease?.state === 'held' && record !== null && epochRecord(record, lease.epoch) !== null;
  const upstream = open && lease.holder !== config.node ? upstreamOf(context, lease.holder) : null;
  report(context, decision.order, await startStandby(context, upstream));
}

async function standby(
  context: OrderContext,
  order: HostOrder,
  work: (upstream: NonNullable<ReturnType<typeof upstreamOf>>) => Promise<StandbyResult>,
): Promise<void> {
  const name = 'from' in order ? order.from : 'upstream' in order ? order.upstream : '';
  const upstream = upstreamOf(context, name);
  if (upstream === null) return;
  report(context, order, await work(upstream));
}

function report(context: OrderContext, order: HostOrder, result: StandbyResult): void {
  context.reportSoon();
  if (result.kind === 'failed')
    context.log('error', 'order failed', { order: order.kind, reason: result.reason });
  else context.log('info', 'order done', { order: order.kind, detail: result.message });
}

async function forkOf(context: OrderContext) {
  const look = context.server.last();
  return look === null ? null : ((await judge(context, look))?.forkLsn ?? null);
}

/** Asks Step Functions for a failover. The same name and input from every agent: only the first one starts it. */
export async function requestFailover(context: OrderContext, reason: string): Promise<void> {
  const { keeper, clients, config } = context;
  await keeper.refresh();
  const { record, watch } = keeper.view();
  const lease = watch.lease;
  if (record === null || lease === null || !needsFailover(record, lease)) return;
  const name = `${record.cluster}-${record.uid}-e${lease.epoch}-a${record.attempt + 1}`.slice(0, 80);
  const request = { cluster: record.cluster, kind: 'failover', reason, requestedBy: 'agent' };
  const input = JSON.stringify({ ...request, epoch: lease.epoch });
  const answer = await clients.startFailover(name, input);
  context.log('info', 'failover requested', { name, answer, reason, node: config.node });
  if (answer === 'started') context.emit('operation_requested', `${name}: ${reason}`, { epoch: lease.epoch });
}
