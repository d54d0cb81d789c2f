// What happened in a stretch of log that was copied out of a data directory: pg_waldump over the copies themselves, so that a
// summary also shows that they can be read. Its output is as long as the log, and is gathered as it comes.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { formatLsn, type Lsn } from '../../core/model/lsn.ts';
import type { WalSummary } from '../../core/model/wal-summary.ts';
import { WalSummaryBuilder } from '../../core/wire/parse-waldump.ts';
import { minimalEnvironment } from '../process.ts';

export interface KeptRange {
  readonly folder: string;
  readonly timeline: number;
  readonly fromLsn: Lsn;
  /** Null: as far as it can be read. */
  readonly toLsn: Lsn | null;
}

export type WalSummaryResult =
  | { readonly kind: 'summary'; readonly summary: WalSummary }
  /** `summary`: what was read before it ended. */
  | { readonly kind: 'incomplete'; readonly reason: string; readonly summary: WalSummary };

/** A node waits this long for its return at the most; what was gathered by then is the summary. */
const LONGEST_SUMMARY_MS = 120_000;
const STDERR_CHARACTERS = 500;

/** The arguments of pg_waldump that show a kept range: for the summary, and for people. */
export function waldumpArguments({ folder, timeline, fromLsn, toLsn }: KeptRange): string[] {
  return [
    `--path=${folder}`,
    `--timeline=${timeline}`,
    `--start=${formatLsn(fromLsn)}`,
    ...(toLsn === null ? [] : [`--end=${formatLsn(toLsn)}`]),
  ];
}

/** Runs as the agent's own user: the copies are readable to nobody else. */
export async function summariseWal(
  binDir: string,
  range: KeptRange,
  timeoutMs = LONGEST_SUMMARY_MS,
): Promise<WalSummaryResult> {
  const builder = new WalSummaryBuilder();
  const child = spawn(join(binDir, 'pg_waldump'), waldumpArguments(range), {
    cwd: '/',
    env: minimalEnvironment({ TZ: 'UTC' }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(-STDERR_CHARACTERS);
  });
  createInterface({ input: child.stdout }).on('line', (line) => builder.add(line));
  const failure = await new Promise<string | null>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code) => resolve(code === 0 ? null : said.trim() || `exit code ${code}`));
  });
  clearTimeout(timer);
  const summary = builder.summary();
  if (late) return { kind: 'incomplete', reason: `not read within ${timeoutMs} ms`, summary };
  // Without an end, the end of the log is an "error" that every log ends with.
  if (failure === null || (range.toLsn === null && /error in WAL record/.test(failure)))
    return { kind: 'summary', summary };
  return { kind: 'incomplete', reason: failure, summary };
}
