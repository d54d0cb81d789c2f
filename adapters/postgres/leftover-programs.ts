// Ends pg_rewind, pg_basebackup and initdb that an agent which died left at work on this data directory: two of them at once
// would write the same files.

import { basename } from 'node:path';
import { sleepMs } from '../clock.ts';
import {
  isProcessAlive,
  listPids,
  processExecutable,
  processTitle,
  readProcessStatus,
  sendSignal,
} from '../process.ts';
import type { PostgresHost } from './host.ts';

const PROGRAMS = new Set(['pg_rewind', 'pg_basebackup', 'initdb']);
const TIMEOUT_MS = 5_000;

/** Kills them and waits until they are gone. Throws when one will not die. */
export async function killLeftoverPrograms(host: PostgresHost): Promise<number> {
  const found = listPids().filter((pid) => {
    const executable = processExecutable(pid);
    return executable !== null && PROGRAMS.has(basename(executable)) && worksOn(pid, host.dataDir);
  });
  for (const pid of found) {
    const ticks = readProcessStatus(pid)?.startTicks;
    sendSignal(pid, 'SIGKILL');
    const deadlineMs = performance.now() + TIMEOUT_MS;
    while (isProcessAlive(pid, ticks)) {
      if (performance.now() > deadlineMs)
        throw new Error(`process ${pid} works on ${host.dataDir} and does not die`);
      await sleepMs(2);
    }
  }
  return found.length;
}

/** Named in an argument, alone or as the beginning of a sibling's name. */
function worksOn(pid: number, dataDir: string): boolean {
  return processTitle(pid)
    .split(' ')
    .map((argument) => argument.replace(/^--[a-z-]+=/, ''))
    .some((path) => path === dataDir || path.startsWith(`${dataDir}.`) || path.startsWith(`${dataDir}/`));
}
