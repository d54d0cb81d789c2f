// Turns a diverged node back to the fork with pg_rewind, so that it can follow the new primary without a full copy. Two traps
// are closed: the directory must have been shut down cleanly (a killed server is recovered first, as what it was), and a
// rewind that fails half way leaves a directory that looks fine, so it is quarantined from before the first byte changes until
// the end. The caller has a CHECKPOINT made on the source first: its control file names its timeline only then.

import { strict as assert } from 'node:assert';
import type { ProgramResult } from '../process.ts';

import {
  connectionInfo,
  createStandbySignal,
  removeStandbySignal,
  type Upstream,
  writeIdentity,
  writePasswordFile,
  writeUpstream,
} from './configuration.ts';
import { LocalConnection } from './connection.ts';
import { readControlFile } from './control-file.ts';
import {
  createPostgresHost,
  describeResult,
  type PostgresHost,
  runPostgresProgram,
  succeeded,
} from './host.ts';
import { runSingleUser } from './initialise.ts';
import { killLeftoverPrograms } from './leftover-programs.ts';
import { awaitAccepting, start, stopFast } from './lifecycle.ts';
import { awaitGone, findProcesses, killAll } from './processes.ts';
import { liftQuarantine, quarantine, quarantineReason } from './quarantine.ts';
import { endReceiver } from './replication.ts';

export type RewindResult =
  | { readonly kind: 'rewound'; readonly ms: number }
  /** pg_rewind found that this node's log is on the source's path. */
  | { readonly kind: 'not-needed'; readonly ms: number }
  /** `touched`: the directory may be half rewound; it stays quarantined and only a rebuild helps. Else try again. */
  | {
      readonly kind: 'failed';
      readonly step: 'quarantined' | 'crash-recovery' | 'pg_rewind';
      readonly touched: boolean;
      readonly output: string;
    };

const CRASH_RECOVERY_TIMEOUT_MS = 600_000;
const LONGEST_REWIND_MS = 4 * 3_600_000;

export interface RewindOptions {
  readonly source: Upstream;
  readonly signal?: AbortSignal;
  /** Called when the directory is a standby of the source; its quarantine is lifted after that. */
  readonly onRewound?: () => Promise<void>;
}

/** Rewinds to `source` and makes the directory a standby of it, ready to start. The server must be stopped. */
export async function rewind(host: PostgresHost, options: RewindOptions): Promise<RewindResult> {
  const startedMs = performance.now();
  assert.deepEqual(findProcesses(host), [], 'a data directory in use is never rewound');
  await killLeftoverPrograms(host);
  const earlier = await quarantineReason(host);
  if (earlier !== null) return { kind: 'failed', step: 'quarantined', touched: true, output: earlier };
  const recovered = await ensureCleanShutdown(host);
  if (recovered !== null)
    return { kind: 'failed', step: 'crash-recovery', touched: false, output: recovered };

  await writePasswordFile(host);
  await quarantine(host, `rewinding to ${options.source.host}:${options.source.port}`);
  const result = await runRewind(host, options.source, options.signal);
  if (!succeeded(result)) return afterFailure(host, result);
  await writeIdentity(host);
  await writeUpstream(host, options.source);
  await createStandbySignal(host);
  await options.onRewound?.();
  await liftQuarantine(host);
  const notNeeded = /no rewind required/.test(result.stdout + result.stderrTail);
  return { kind: notNeeded ? 'not-needed' : 'rewound', ms: performance.now() - startedMs };
}

function runRewind(
  host: PostgresHost,
  source: Upstream,
  signal: AbortSignal | undefined,
): Promise<ProgramResult> {
  const connection = connectionInfo(
    host,
    { ...source, applicationName: `${host.nodeName}-rewind` },
    'rewind',
  );
  const args = [`--target-pgdata=${host.dataDir}`, `--source-server=${connection}`];
  const bounds = { timeoutMs: LONGEST_REWIND_MS, ...(signal === undefined ? {} : { signal }) };
  return runPostgresProgram(host, 'pg_rewind', args, bounds);
}

/** Before pg_rewind announces the checkpoint it rewinds from, it has only read: no source, no common history, no log. */
async function afterFailure(host: PostgresHost, result: ProgramResult): Promise<RewindResult> {
  const said = result.kind === 'not-started' ? '' : result.stdout + result.stderrTail;
  const touched = /rewinding from last common checkpoint/.test(said);
  if (!touched) await liftQuarantine(host);
  return { kind: 'failed', step: 'pg_rewind', touched, output: describeResult(result) };
}

/**
 * Brings a killed server to a clean shutdown, as what it was: a primary by a single-user server, a standby by a server without
 * upstream or port (single user it would end as a primary). A directory that says `shut down in recovery` is recovered too:
 * it may be a primary's whose crash recovery was interrupted, with blocks newer than the log that pg_rewind would look at.
 * Null, or why it failed.
 */
export async function ensureCleanShutdown(host: PostgresHost): Promise<string | null> {
  const control = await readControlFile(host.dataDir);
  if (control.kind !== 'control-data') return `control file: ${control.kind}`;
  if (control.state === 'shut-down') return null;
  if (control.state === 'in-archive-recovery' || control.state === 'shut-down-in-recovery')
    return recoverStandby(host);
  await removeStandbySignal(host);
  return runSingleUser(host, host.dataDir, [], CRASH_RECOVERY_TIMEOUT_MS);
}

async function recoverStandby(host: PostgresHost): Promise<string | null> {
  const isolated = createPostgresHost({ ...host, listenAddresses: '' });
  await writeUpstream(isolated, null);
  await createStandbySignal(isolated);
  const started = await start(isolated, { as: 'standby' });
  if (started.kind !== 'started') return `start: ${started.kind}`;
  const connection = new LocalConnection(isolated);
  try {
    const accepting = await awaitAccepting(isolated, started, CRASH_RECOVERY_TIMEOUT_MS);
    if (accepting.kind !== 'accepting')
      return accepting.kind === 'exited' ? accepting.logTail : accepting.kind;
    // It accepts connections once it is consistent: the rest of the local log has still to be replayed.
    const replayed = await endReceiver(isolated, connection, CRASH_RECOVERY_TIMEOUT_MS);
    if (replayed.kind !== 'ended') return replayed.reason;
    const stopped = await stopFast(isolated, CRASH_RECOVERY_TIMEOUT_MS);
    return stopped.kind === 'stopped' && stopped.cleanShutdown ? null : `stop: ${stopped.kind}`;
  } finally {
    connection.close();
    await awaitGone(isolated, 1_000);
    await killAll(isolated, 'after the recovery of a standby');
  }
}
