/**
 * A lock file between set-ups, on one checkout or on one machine. It appears complete (written aside, then linked), it names its
 * owner by process id and start time, and it is broken only while holding a second lock, after looking again, so that two waiters
 * never both break it.
 */
import { linkSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const pollMs = 200;
const longestWaitMs = 15 * 60_000;

/**
 * The time a process started, in clock ticks since boot: with the id it names one process for good. Null where it is gone or a
 * zombie, 'unknown' where there is no /proc to ask.
 * @param {number} pid
 */
export function processStart(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ESRCH') return null;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? null : (fields[19] ?? 'unknown');
  } catch {
    return 'unknown';
  }
}

/** @param {string} path */
function owner(path) {
  try {
    const [pid = '', start = ''] = readFileSync(path, 'utf8').trim().split(' ');
    return { pid: Number(pid), start };
  } catch {
    return undefined;
  }
}

/** @param {{ pid: number, start: string }} holder */
const isGone = (holder) => !(holder.pid > 0) || processStart(holder.pid) !== holder.start;

/** @param {string} path */
function breakStale(path) {
  const breaking = `${path}.breaking`;
  try {
    mkdirSync(breaking);
  } catch {
    return; // another waiter is looking
  }
  try {
    const holder = owner(path);
    if (holder && isGone(holder)) rmSync(path, { force: true });
  } finally {
    rmdirSync(breaking);
  }
}

/** @param {string} path */
function tryLock(path) {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${process.pid} ${processStart(process.pid)}\n`);
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/**
 * Runs `work` while holding the lock file. A lock whose owner is gone is taken over; a living owner is waited for.
 * @template T
 * @param {string} path
 * @param {{ onWait: (pid: number) => void, pollMs?: number, longestWaitMs?: number }} options onWait is called once
 * @param {() => Promise<T>} work
 * @returns {Promise<T>} throws when the owner has not finished within the longest wait
 */
export async function withLock(path, options, work) {
  mkdirSync(dirname(path), { recursive: true });
  const until = performance.now() + (options.longestWaitMs ?? longestWaitMs);
  let told = false;
  while (!tryLock(path)) {
    const holder = owner(path);
    if (holder && isGone(holder)) {
      breakStale(path);
    } else if (holder && !told) {
      told = true;
      options.onWait(holder.pid);
    }
    if (performance.now() > until) {
      throw new Error(
        `another set-up still holds ${path}; if none is running, remove that file and ${path}.breaking`,
      );
    }
    await sleep(options.pollMs ?? pollMs);
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}
