/**
 * Following a primary: repointing a running standby, starting one, and bringing a node back whose history diverged
 * (rewind, else rebuild). Upholds H3: whom to follow is judged by epochs (`core/failover/rejoin.ts`) right before, and
 * nothing is deleted from a data directory that is not kept elsewhere until the node streams again.
 */
import { existsSync } from 'node:fs';
import type { BaseBackupResult } from '../../adapters/postgres/base-backup.ts';
import { recoveryTimeline } from '../../adapters/postgres/control-file.ts';
import { newNonce } from '../../adapters/postgres/files.ts';
import { type DataDirectory, decideRejoin, type Rejoin } from '../../core/failover/rejoin.ts';
import { epochRecord } from '../../core/model/cluster-record.ts';
import type { NodeId } from '../../core/model/lease.ts';
import type { Lsn } from '../../core/model/lsn.ts';
import type { TimelineHistory } from '../../core/model/timeline.ts';
import type { HostContext } from './host-context.ts';
import { dropOldReports, recordLostWrites } from './lost-writes.ts';
import { checkpointOn } from './other-node.ts';
import { type Following, type Look, slotName } from './server.ts';

const startTimeoutMs = 60_000;
const stopTimeoutMs = 5_000;

export type StandbyResult =
  | { readonly kind: 'done'; readonly message: string }
  | { readonly kind: 'failed'; readonly reason: string };

/** Where a node is reached, and in which epoch; null when it has not reported. */
export function upstreamOf(context: HostContext, node: NodeId): Following | null {
  const report = context.nodes().find((one) => one.node === node);
  const epoch = context.keeper.view().watch.lease?.epoch;
  if (report === undefined || epoch === undefined || report.addresses.port === 0) return null;
  return { node, host: report.addresses.host, port: report.addresses.port, epoch };
}

function settingsFor(context: HostContext, upstream: Following) {
  return { host: upstream.host, port: upstream.port, slot: slotName(context.config.node) };
}

/** Repoints a running standby by a reload. */
export async function followUpstream(context: HostContext, upstream: Following): Promise<StandbyResult> {
  const { server, disk } = context;
  disk.dataBelongsTo(upstream.epoch);
  const login = context.config.secrets.replication.name;
  const result = await server.node.follow(settingsFor(context, upstream));
  if (result.kind !== 'in-force') return { kind: 'failed', reason: result.kind };
  server.nowFollows(upstream);
  server.nowFollowsAs(login);
  for (const { id, node } of context.journal.open().filter(({ verb }) => verb === 'follow'))
    if (node !== upstream.node) context.journal.closeSoon(id, `follows ${upstream.node}`);
  await server.node.expectPromotion(false);
  context.emit('standby_following', `follows ${upstream.node}`, { epoch: upstream.epoch });
  return { kind: 'done', message: `follows ${upstream.node} at ${upstream.host}:${upstream.port}` };
}

/** Starts this node as a standby; `upstream` null: up, and following nobody. */
export async function startStandby(context: HostContext, upstream: Following | null): Promise<StandbyResult> {
  const { server, disk } = context;
  const killed = await server.node.killAll('before a start as standby');
  if (killed.remaining.length > 0)
    return { kind: 'failed', reason: 'processes of the former server do not die' };
  if (upstream !== null) disk.dataBelongsTo(upstream.epoch);
  const login = context.config.secrets.replication.name;
  await server.node.prepareStandby(upstream === null ? null : settingsFor(context, upstream));
  const started = await server.node.start({ as: 'standby' });
  if (started.kind !== 'started') {
    return { kind: 'failed', reason: 'reason' in started ? started.reason : started.kind };
  }
  server.nowFollows(upstream);
  server.nowFollowsAs(login);
  const accepting = await server.node.awaitAccepting(started, startTimeoutMs);
  if (accepting.kind === 'exited')
    return { kind: 'failed', reason: `it ended at once: ${accepting.logTail.slice(-500)}` };
  if (accepting.kind === 'timed-out')
    return { kind: 'failed', reason: `not accepting connections: ${accepting.status}` };
  context.emit('postgres_started', `standby of ${upstream?.node ?? 'nobody'}`, {
    epoch: upstream?.epoch ?? null,
  });
  return { kind: 'done', message: `standby of ${upstream?.node ?? 'nobody'}` };
}

/** Clones the primary into an empty place. */
export async function cloneFrom(context: HostContext, upstream: Following): Promise<StandbyResult> {
  const copied = await copy(context, 'clone', upstream);
  if (copied.kind !== 'rebuilt') return { kind: 'failed', reason: copied.output.slice(-500) };
  return startStandby(context, upstream);
}

/** A base backup in the place of the data directory, noted as of the upstream's epoch; each step is in the journal before it. */
async function copy(
  context: HostContext,
  verb: 'clone' | 'rebuild',
  upstream: Following,
): Promise<BaseBackupResult> {
  const { server, journal, disk } = context;
  const nonce = newNonce();
  const replaces = existsSync(server.node.host.dataDir);
  const work = { verb, operation: null, epoch: upstream.epoch, node: upstream.node, nonce, replaces };
  const entry = await journal.begin(work, 'copying');
  const copied = await server.node.baseBackup({
    source: settingsFor(context, upstream),
    nonce,
    onCopied: () => journal.note(entry, 'copied'),
  });
  if (copied.kind !== 'rebuilt') {
    await journal.close(entry, `failed: ${copied.output.slice(-200)}`);
    return copied;
  }
  disk.bootstrapped(null);
  disk.dataBelongsTo(upstream.epoch);
  await journal.close(entry, 'done');
  return copied;
}

/** pg_rewind to the primary. When it fails the directory stays quarantined, and the next decision is a rebuild. */
export async function rewindTo(
  context: HostContext,
  upstream: Following,
  forkLsn: Lsn | null,
): Promise<StandbyResult> {
  const { server, config } = context;
  if (!(await checkpointOn(config, upstream, context.certificates.trusted()))) {
    return { kind: 'failed', reason: `no checkpoint on ${upstream.node}: a rewind to it could be misled` };
  }
  await bringDown(context);
  await recordLostWrites(context, 'rewind', forkLsn);
  const { journal, disk } = context;
  const work = { verb: 'rewind', operation: null, epoch: upstream.epoch, node: upstream.node } as const;
  const entry = await journal.begin(work, 'rewinding');
  const result = await server.node.rewind({
    source: settingsFor(context, upstream),
    onRewound: () => journal.note(entry, 'rewound'),
  });
  if (result.kind === 'failed') {
    await journal.close(entry, `failed: ${result.step}`);
    server.rewindFailed(upstream.epoch);
    context.emit('rewind_failed', result.output.slice(-500), { epoch: upstream.epoch });
    return { kind: 'failed', reason: result.output.slice(-500) };
  }
  disk.dataBelongsTo(upstream.epoch);
  await journal.close(entry, result.kind);
  context.emit('node_rewound', `${result.kind} to ${upstream.node}`, { epoch: upstream.epoch });
  server.forgetStandby();
  return startStandby(context, upstream);
}

/** A new base backup into a new folder; the old directory is kept until this node streams. */
export async function rebuildFrom(
  context: HostContext,
  upstream: Following,
  forkLsn: Lsn | null,
): Promise<StandbyResult> {
  const { server } = context;
  await bringDown(context);
  // A rewind that was interrupted has left its report, and a log that is no longer this node's own.
  if (!(await server.node.isQuarantined())) await recordLostWrites(context, 'rebuild', forkLsn);
  const copied = await copy(context, 'rebuild', upstream);
  if (copied.kind !== 'rebuilt') return { kind: 'failed', reason: copied.output.slice(-500) };
  context.emit(
    'node_rebuilt',
    `from ${upstream.node}; the former data directory is kept: ${copied.kept ?? 'there was none'}`,
    {
      epoch: upstream.epoch,
    },
  );
  server.forgetStandby();
  return startStandby(context, upstream);
}

/** Kept data directories beyond the retention go, once this node streams again. */
export async function dropKept(context: HostContext): Promise<void> {
  const retention = context.keeper.view().record?.spec.keptDataDirectories ?? 1;
  const kept = await context.server.node.listKept();
  await context.server.node.removeKept(kept.slice(Math.max(0, kept.length - retention)));
  await dropOldReports(context);
}

async function bringDown(context: HostContext): Promise<void> {
  const { server } = context;
  await server.node.stopFast(stopTimeoutMs);
  await server.node.killAll('before its data directory changes');
  server.nowFollows(null);
}

/** Judges how this node comes back to the current epoch, looking at its WAL's real end where that decides. */
export async function judge(context: HostContext, look: Look): Promise<Rejoin | null> {
  const { record, watch } = context.keeper.view();
  const lease = watch.lease;
  if (record === null || lease === null || lease.state !== 'held' || lease.holder === context.config.node)
    return null;
  if (epochRecord(record, lease.epoch) === null || look.control === null) return null;
  const view = {
    node: context.config.node,
    systemIdentifier: record.systemIdentifier,
    epochs: record.epochs,
    lease: { holder: lease.holder, epoch: lease.epoch, state: lease.state },
  };
  const data = await describeData(context, look);
  const first = decideRejoin({ ...view, data });
  // Nothing adds to the log of a standby without a receiver: its end can be read while it runs.
  const still = look.postgres.kind === 'stopped' || look.observation?.receiver === null;
  if (first.kind !== 'need-wal-end' || !still) return first;
  const end = await context.server.node.walEnd();
  // Its log cannot be read: pg_rewind finds out, and what it cannot repair is rebuilt.
  if (end.kind !== 'wal-end') {
    return {
      ...first,
      kind: data.rewindFailed ? 'rebuild' : 'rewind',
      reason: `${first.reason}: ${end.reason}`,
    };
  }
  return decideRejoin({ ...view, data: { ...data, walEnd: end.endLsn } });
}

async function describeData(context: HostContext, look: Look): Promise<DataDirectory> {
  const control = look.control;
  if (control === null) throw new Error('InvariantViolation: judged without a control file');
  const running = look.observation ?? (control.state === 'shut-down' ? null : context.server.lastStandby());
  const timeline = Math.max(running?.timeline ?? 0, recoveryTimeline(control));
  const reading = await context.server.node.history(timeline);
  const history: TimelineHistory = reading.kind === 'history' ? reading.history : { timeline, ancestors: [] };
  const epoch = context.disk.facts().dataEpoch;
  return {
    systemIdentifier: control.systemIdentifier,
    state: look.observation !== null ? 'in-archive-recovery' : control.state,
    history,
    checkpointLsn: control.checkpointLsn,
    walEnd: null,
    // A restart forgets it, and what is replayed so far may be far from the end of the log that lies here.
    receivedLsn: running?.receivedLsn ?? null,
    replayedLsn: running?.replayedLsn ?? null,
    epoch: epoch === 0 ? null : epoch,
    interrupted: null,
    rewindable: control.dataChecksums || control.walLogHints,
    rewindFailed: context.server.isRewindHopeless(context.keeper.view().watch.lease?.epoch ?? 0),
  };
}
