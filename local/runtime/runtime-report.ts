/** What the runtime says of itself: one JSON line a thing in its log, and runtime.json for whoever looks for it. */
import { readProcessStatus } from '../../adapters/process.ts';
import type { ClusterFolder, RuntimeFile } from '../../cli/cluster/cluster-folder.ts';
import { writeJsonFile } from './json-file.ts';

export type LogLevel = 'info' | 'warn' | 'error';

/** A constant lowercase message, values in fields. */
export function log(level: LogLevel, message: string, fields: object = {}): void {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`);
}

export interface RuntimeReport {
  /** Changes runtime.json and says so in the log. */
  set(change: Partial<Pick<RuntimeFile, 'port' | 'phase' | 'detail' | 'notice'>>): void;
}

export function startReport(folder: ClusterFolder, token: string): RuntimeReport {
  let file: RuntimeFile = {
    pid: process.pid,
    startTicks: readProcessStatus(process.pid)?.startTicks ?? 0,
    port: null,
    token,
    startedAt: new Date().toISOString(),
    phase: 'starting',
    detail: '',
    notice: '',
  };
  writeJsonFile(folder.runtime, file);
  return {
    set(change) {
      file = { ...file, ...change };
      writeJsonFile(folder.runtime, file);
      log(file.phase === 'failed' ? 'error' : 'info', 'runtime', change);
    },
  };
}
