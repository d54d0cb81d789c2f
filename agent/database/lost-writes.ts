/**
 * Writes down what this node gives up, before a rewind or a rebuild changes the first byte: the log past the fork, copied out of
 * the data directory and synced, a summary of what was committed in it, and an event. Upholds H7. Repeated after an interruption it
 * finds its own folder, named after the range, and does no more than is missing; the event keeps its id, so that it is there once.
 */
import { mkdir, open, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ulid } from 'ulid';
import { readTextFile, syncFolder, writeFileAtomically } from '../../adapters/postgres/files.ts';
import type { KeptWal, WalEnd } from '../../adapters/postgres/wal.ts';
import { summariseWal, waldumpArguments } from '../../adapters/postgres/wal-summary.ts';
import { boundedDetails } from '../../core/model/cluster-event.ts';
import { type LostWrites, lostWritesDetails, lostWritesMessage } from '../../core/model/lost-writes.ts';
import { formatLsn, type Lsn } from '../../core/model/lsn.ts';
import type { HostContext } from './host-context.ts';

/** The newest reports of a node, with their log; older ones go when it streams again. */
export const keptReports = 20;

export const lostWritesFolder = (folder: string): string => join(folder, 'lost-writes');

/** `forkLsn` null: nothing in common. Throws where it cannot be kept: then nothing may be discarded. */
export async function recordLostWrites(
  context: HostContext,
  cause: LostWrites['cause'],
  forkLsn: Lsn | null,
): Promise<void> {
  const end = await context.server.node.walEnd();
  // The whole log is on the current history: nothing is given up.
  if (end.kind === 'wal-end' && forkLsn !== null && end.endLsn <= forkLsn) return;
  const lost = await keep(context, cause, forkLsn, end);
  const written = await writeReport(lost);
  await tell(context, lost, written);
}

async function keep(
  context: HostContext,
  cause: LostWrites['cause'],
  fromLsn: Lsn | null,
  end: WalEnd,
): Promise<LostWrites> {
  const { config, disk, server, keeper } = context;
  const control = await server.node.controlFile();
  const timeline =
    end.kind === 'wal-end' ? end.timeline : control.kind === 'control-data' ? control.checkpointTimeline : 0;
  const toLsn = end.kind === 'wal-end' ? end.endLsn : null;
  const epoch = disk.facts().dataEpoch === 0 ? null : disk.facts().dataEpoch;
  const folder = join(lostWritesFolder(config.folder), folderName(epoch, timeline, fromLsn, toLsn));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const kept =
    fromLsn === null ? null : await server.node.keepDiscardedWal({ timeline, fromLsn, toLsn, into: folder });
  const range = { folder, timeline, fromLsn: fromLsn ?? (0n as Lsn), toLsn };
  const summarised = kept?.kind === 'kept' ? await summariseWal(config.postgres.binDir, range) : null;
  return {
    node: config.node,
    cause,
    epoch,
    returnsTo: keeper.view().watch.lease?.epoch ?? null,
    timeline,
    fromLsn,
    toLsn,
    folder,
    files: kept?.kind === 'kept' ? kept.files : [],
    missing: kept?.kind === 'kept' ? kept.missing : [],
    // Nothing read is not nothing lost.
    summary:
      summarised?.kind === 'incomplete' && summarised.summary.records === 0
        ? null
        : (summarised?.summary ?? null),
    notSummarised: notSummarised(end, kept, summarised),
    look: [join(config.postgres.binDir, 'pg_waldump'), ...waldumpArguments(range)].join(' '),
  };
}

function notSummarised(
  end: WalEnd,
  kept: KeptWal | null,
  summarised: Awaited<ReturnType<typeof summariseWal>> | null,
): string | null {
  if (kept === null)
    return 'nothing is in common with the current epoch: the former data directory is kept whole';
  const reasons = [
    end.kind === 'unknown' ? `where its log ends is not known: ${end.reason.trim()}` : null,
    summarised?.kind === 'incomplete' ? `read in part only: ${summarised.reason}` : null,
  ].filter((reason) => reason !== null);
  return reasons.length === 0 ? null : reasons.join('; ');
}

function folderName(epoch: number | null, timeline: number, from: Lsn | null, to: Lsn | null): string {
  const text = (lsn: Lsn | null): string => (lsn === null ? 'unknown' : formatLsn(lsn).replace('/', '-'));
  return `epoch-${epoch ?? 'unknown'}-timeline-${timeline}-from-${text(from)}-to-${text(to)}`;
}

interface Written {
  readonly eventId: string;
  readonly writtenAt: string;
}

/** Durable when it returns, the kept files with it. A report that is there already keeps its time and the id of its event. */
async function writeReport(lost: LostWrites): Promise<Written> {
  const path = join(lost.folder, 'report.json');
  const former = readWritten(await readTextFile(path));
  const written = former ?? { eventId: ulid(), writtenAt: new Date().toISOString() };
  for (const name of await readdir(lost.folder)) await syncFile(join(lost.folder, name));
  const report = JSON.stringify({ ...written, ...lost }, lsnAsText, 2);
  await writeFileAtomically(path, `${report}\n`, { owner: null });
  await syncFolder(dirname(lost.folder));
  await syncFolder(dirname(dirname(lost.folder)));
  return written;
}

function readWritten(text: string | null): Written | null {
  try {
    const { eventId, writtenAt } = JSON.parse(text ?? '{}') as Partial<Written>;
    return typeof eventId === 'string' && typeof writtenAt === 'string' ? { eventId, writtenAt } : null;
  } catch {
    return null;
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Positions of a report are texts. */
function lsnAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? formatLsn(value as Lsn) : value;
}

const eventTimeoutMs = 2_000;

/** A table that is away does not keep the node from returning: the report is on its disk, and the log has it too. */
async function tell(context: HostContext, lost: LostWrites, written: Written): Promise<void> {
  const { store, config, log, keeper } = context;
  const message = lostWritesMessage(lost);
  const details = boundedDetails(lostWritesDetails(lost));
  log('warn', 'wal_discarded', { ...details, detail: message });
  const answer = await store.putEvent(
    {
      id: written.eventId,
      kind: 'wal_discarded',
      time: written.writtenAt,
      who: config.node,
      rule: '',
      epoch: keeper.view().watch.lease?.epoch ?? null,
      operation: null,
      message,
      details,
    },
    { timeoutMs: eventTimeoutMs },
  );
  if (answer.kind !== 'ok')
    log('warn', 'event not written', {
      event: 'wal_discarded',
      error_kind: answer.kind,
      folder: lost.folder,
    });
}

/** Once the node streams again: all but the newest reports, with the log that belongs to them, go. */
export async function dropOldReports(context: HostContext): Promise<void> {
  const folder = lostWritesFolder(context.config.folder);
  const names = await readdir(folder).catch(() => [] as string[]);
  if (names.length <= keptReports) return;
  const reports = await Promise.all(
    names.map(async (name) => ({
      name,
      writtenAt: readWritten(await readTextFile(join(folder, name, 'report.json')))?.writtenAt ?? '',
    })),
  );
  const newestFirst = reports.toSorted((a, b) => (a.writtenAt < b.writtenAt ? 1 : -1));
  // One without a report is of an interruption, or of an older agent: it is the first to go, once there are so many.
  for (const { name } of newestFirst.slice(keptReports)) {
    await rm(join(folder, name), { recursive: true, force: true });
  }
}
