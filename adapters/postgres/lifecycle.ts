// Starts and stops a server. The postmaster is our own child at first, in a session of its own so that it outlives the agent,
// and is recognised by its process afterwards, whoever started it. A server counts as stopped when pg_control says so, not
// when its postmaster is gone: a frozen standby or a slow archive_command delays that by seconds.

import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Lsn } from '../../core/model/lsn.ts';
import { sleepMs } from '../clock.ts';
import { isGone, isProcessAlive, minimalEnvironment, readProcessStatus, sendSignal } from '../process.ts';
import { writeIdentity } from './configuration.ts';
import { readControlFile } from './control-file.ts';
import { ensureFolder, pathExists } from './files.ts';
import { type PostgresHost, sharedMemoryAttachments } from './host.ts';
import {
  findPostmaster,
  findProcesses,
  type Postmaster,
  readLockFile,
  type ServerProcess,
} from './processes.ts';
import { isQuarantined } from './quarantine.ts';
import { removeTrailingPlaceholders } from './timeline-placeholders.ts';

export type StartResult =
  | {
      readonly kind: 'started';
      readonly pid: number;
      readonly startTicks: number;
      readonly logOffset: number;
    }
  | { readonly kind: 'already-running'; readonly postmaster: Postmaster }
  | {
      readonly kind: 'refused';
      readonly reason:
        | 'no-data-directory'
        | 'quarantined'
        | 'processes-left'
        | 'shared-memory-in-use'
        | 'host-ends';
      readonly processes: readonly ServerProcess[];
    }
  | { readonly kind: 'failed'; readonly reason: string };

const SHARED_MEMORY_WAIT_MS = 1_000;

/**
 * Starts the server as what the directory says it is: `as` must agree with standby.signal, for a server that opens as a
 * primary by mistake is a second writer. Returns when the postmaster exists; `awaitAccepting` waits for the rest.
 */
export async function start(
  host: PostgresHost,
  options: { readonly as: 'primary' | 'standby' },
): Promise<StartResult> {
  const none: readonly ServerProcess[] = [];
  if (!(await pathExists(join(host.dataDir, 'PG_VERSION')))) {
    return { kind: 'refused', reason: 'no-data-directory', processes: none };
  }
  if (await isQuarantined(host)) return { kind: 'refused', reason: 'quarantined', processes: none };
  const running = await findPostmaster(host);
  if (running !== null) return { kind: 'already-running', postmaster: running };
  const left = findProcesses(host);
  if (left.length > 0) return { kind: 'refused', reason: 'processes-left', processes: left };
  if (!(await sharedMemoryIsFree(host)))
    return { kind: 'refused', reason: 'shared-memory-in-use', processes: none };

  const standby = await pathExists(join(host.dataDir, 'standby.signal'));
  const recovery = await pathExists(join(host.dataDir, 'recovery.signal'));
  assert.equal(
    standby,
    options.as === 'standby',
    `start as ${options.as}, standby.signal ${standby ? 'present' : 'absent'}`,
  );
  assert.equal(
    recovery,
    false,
    'recovery.signal would start an archive recovery that ends in a second primary',
  );
  await removeLockOfZombie(host);
  await writeIdentity(host);
  await removeTrailingPlaceholders(host);
  await ensureFolder(host.socketDir, host.runAs, 0o755);
  await ensureFolder(dirname(host.logFile), null, 0o755);
  return spawnPostmaster(host);
}

/** A killed server's memory must have been let go by all: the next start would refuse it, or worse, share it. */
async function sharedMemoryIsFree(host: PostgresHost): Promise<boolean> {
  const shmId = (await readLockFile(host))?.shmId ?? null;
  if (shmId === null) return true;
  const deadlineMs = performance.now() + SHARED_MEMORY_WAIT_MS;
  while ((sharedMemoryAttachments(shmId) ?? 0) > 0) {
    if (performance.now() > deadlineMs) return false;
    await sleepMs(2);
  }
  return true;
}

/**
 * PostgreSQL takes a killed postmaster for alive until its parent has reaped it, and refuses to start beside it. After an agent that
 * died with its postmaster that parent is the init process, which in a container may take seconds: three refusals, and a
 * primary would be given up whose data is whole. A zombie holds nothing; that nothing else works here was seen above.
 */
async function removeLockOfZombie(host: PostgresHost): Promise<void> {
  const pid = (await readLockFile(host))?.pid ?? 0;
  const status = pid > 0 ? readProcessStatus(pid) : null;
  if (status === null || !isGone(status)) return;
  await rm(join(host.dataDir, 'postmaster.pid'), { force: true });
  await rm(join(host.socketDir, `.s.PGSQL.${host.port}.lock`), { force: true });
}

async function spawnPostmaster(host: PostgresHost): Promise<StartResult> {
  let log: FileHandle;
  try {
    log = await open(host.logFile, 'a', 0o640);
  } catch (error) {
    return { kind: 'failed', reason: `log file: ${String(error)}` };
  }
  try {
    const logOffset = (await log.stat()).size;
    const [program = '', ...args] = [
      ...(host.launcher ?? []),
      join(host.binDir, 'postgres'),
      '-D',
      host.dataDir,
    ];
    const child = spawn(program, args, {
      // So that the process is recognised from its first moment, see findProcesses.
      cwd: host.dataDir,
      env: minimalEnvironment(),
      stdio: ['ignore', log.fd, log.fd],
      detached: true,
      ...(host.runAs === null ? {} : { uid: host.runAs.uid, gid: host.runAs.gid }),
    });
    const failure = new Promise<string>((resolve) => child.once('error', (error) => resolve(error.message)));
    if (child.pid === undefined) return { kind: 'failed', reason: await failure };
    child.unref();
    const startTicks = readProcessStatus(child.pid)?.startTicks ?? 0;
    return { kind: 'started', pid: child.pid, startTicks, logOffset };
  } finally {
    await log.close();
  }
}

export type AcceptingResult =
  | { readonly kind: 'accepting'; readonly postmaster: Postmaster; readonly ms: number }
  | { readonly kind: 'exited'; readonly logTail: string }
  | { readonly kind: 'timed-out'; readonly status: string };

/**
 * Waits until the server accepts connections, reading the status it keeps in its lock file: asking by connections would fork
 * a process each time and slow the recovery that is waited for.
 */
export async function awaitAccepting(
  host: PostgresHost,
  started: { readonly pid: number; readonly startTicks: number; readonly logOffset?: number },
  timeoutMs: number,
): Promise<AcceptingResult> {
  const startedMs = performance.now();
  let status = '';
  do {
    const lock = await readLockFile(host);
    if (lock !== null && lock.pid === started.pid) status = lock.status;
    if (!isProcessAlive(started.pid, started.startTicks)) {
      return { kind: 'exited', logTail: await readLogTail(host, started.logOffset ?? 0) };
    }
    if (status === 'ready') {
      const postmaster = await findPostmaster(host);
      if (postmaster !== null) return { kind: 'accepting', postmaster, ms: performance.now() - startedMs };
    }
    await sleepMs(5);
  } while (performance.now() - startedMs < timeoutMs);
  return { kind: 'timed-out', status };
}

const LOG_TAIL_BYTES = 4_096;

/** The end of the server's log, from `offset` on at most. */
export async function readLogTail(host: PostgresHost, offset = 0): Promise<string> {
  try {
    const log = await open(host.logFile, 'r');
    try {
      const { size } = await log.stat();
      const from = Math.max(offset, size - LOG_TAIL_BYTES);
      const buffer = Buffer.alloc(Math.max(0, size - from));
      const { bytesRead } = await log.read(buffer, 0, buffer.length, from);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await log.close();
    }
  } catch {
    return '';
  }
}

export type StopResult =
  /** `checkpointLsn` is the start of the shutdown checkpoint's record: a standby has all when its replay is past it. */
  | {
      readonly kind: 'stopped';
      readonly cleanShutdown: true;
      readonly as: 'primary' | 'standby';
      readonly checkpointLsn: Lsn;
      readonly timeline: number;
      readonly ms: number;
    }
  /** All processes are gone and pg_control tells of no clean end: what the log holds has to be recovered first. */
  | { readonly kind: 'stopped'; readonly cleanShutdown: false; readonly ms: number }
  | { readonly kind: 'not-running'; readonly cleanShutdown: boolean }
  | { readonly kind: 'timed-out'; readonly reason: string; readonly processes: readonly ServerProcess[] };

const BETWEEN_LOOKS_MS = 2;
const FROZEN_DISK_GRACE_MS = 100;
/** How often the processes are looked at too, in looks at the control file: a scan of /proc costs more. */
const LOOKS_PER_SCAN = 10;

/**
 * A fast shutdown. Resolves as soon as the control file says that it is complete; processes may then be left that send the
 * last log to standbys, see `awaitGone` and `killAll`. The order is the signal that `pg_ctl stop --mode=fast` sends: to start a program
 * for it takes 5 to 20 ms while clients wait, and its own waiting polls every 100 ms.
 */
export function stopFast(host: PostgresHost, timeoutMs: number): Promise<StopResult> {
  // Reading the control file from a frozen disk never ends: the deadline holds all the same.
  let timer: NodeJS.Timeout | undefined;
  const frozen = new Promise<StopResult>((resolve) => {
    const giveUp = () =>
      resolve({ kind: 'timed-out', reason: 'the disk gives no answer', processes: findProcesses(host) });
    timer = setTimeout(giveUp, timeoutMs + FROZEN_DISK_GRACE_MS);
  });
  return Promise.race([stopAndWatch(host, timeoutMs), frozen]).finally(() => clearTimeout(timer));
}

async function stopAndWatch(host: PostgresHost, timeoutMs: number): Promise<StopResult> {
  const startedMs = performance.now();
  // At the very start of a server pg_control still tells of its last end: then only the processes' end counts.
  const [postmaster, before] = await Promise.all([findPostmaster(host), cleanState(host)]);
  if (postmaster === null) return withoutPostmaster(host);
  sendSignal(postmaster.pid, 'SIGINT');
  for (let look = 0; performance.now() - startedMs < timeoutMs; look += 1) {
    const clean = before === null ? await confirmedCleanState(host) : null;
    if (clean !== null) return { ...clean, ms: performance.now() - startedMs };
    if (look % LOOKS_PER_SCAN === LOOKS_PER_SCAN - 1 && findProcesses(host).length === 0) {
      const last = await cleanState(host);
      const ms = performance.now() - startedMs;
      return last === null ? { kind: 'stopped', cleanShutdown: false, ms } : { ...last, ms };
    }
    await sleepMs(BETWEEN_LOOKS_MS);
  }
  return { kind: 'timed-out', reason: 'no shutdown checkpoint in time', processes: findProcesses(host) };
}

async function withoutPostmaster(host: PostgresHost): Promise<StopResult> {
  const processes = findProcesses(host);
  if (processes.length > 0) return { kind: 'timed-out', reason: 'orphaned processes: kill them', processes };
  return { kind: 'not-running', cleanShutdown: (await cleanState(host)) !== null };
}

/**
 * A recovery that ends writes a checkpoint that makes the control file say `shut down` for a moment, before the server opens.
 * Its startup process is there as long as that lasts: without one, and with the file unchanged, the state is final.
 */
async function confirmedCleanState(host: PostgresHost) {
  const first = await cleanState(host);
  if (first === null || findProcesses(host).some(({ title }) => STARTUP_PROCESS.test(title))) return null;
  const second = await cleanState(host);
  return second?.checkpointLsn === first.checkpointLsn && second.as === first.as ? second : null;
}

const STARTUP_PROCESS = /^postgres: (.*: )?startup( |$)/;

/**
 * `shut down in recovery` is a clean end for a standby only. A primary that was stopped in the middle of its crash recovery
 * says the same, and its blocks may be from any time before the crash.
 */
async function cleanState(host: PostgresHost) {
  const control = await readControlFile(host.dataDir);
  if (control.kind !== 'control-data') return null;
  const { state, checkpointLsn, checkpointTimeline: timeline } = control;
  const inRecovery =
    state === 'shut-down-in-recovery' && (await pathExists(join(host.dataDir, 'standby.signal')));
  if (state !== 'shut-down' && !inRecovery) return null;
  const as = inRecovery ? ('standby' as const) : ('primary' as const);
  return { kind: 'stopped', cleanShutdown: true, as, checkpointLsn, timeline } as const;
}

/** Tells a running server to read its configuration again. False: none runs. */
export async function reload(host: PostgresHost): Promise<boolean> {
  const postmaster = await findPostmaster(host);
  return postmaster !== null && sendSignal(postmaster.pid, 'SIGHUP') === 'sent';
}
