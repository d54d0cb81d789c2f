/**
 * Which artifact this agent came with, for its host's reports: by that an upgrade knows which hosts have had their turn, and what to go
 * back to. Read once, at the start: what `current` names later is the next agent's.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { AgentRelease } from '../core/model/node-report.ts';
import type { Log } from './emit.ts';

/** The bundle is in `agent/` of its release; where that is elsewhere, as on a machine that plays several hosts, LEASEHOLD_OPT says so. */
function releaseFolder(): string {
  const opt = process.env['LEASEHOLD_OPT'];
  return opt === undefined ? dirname(import.meta.dirname) : join(opt, 'current');
}

/** Null without an artifact. Never throws: a host must serve although nobody can say what it runs. */
export function readRelease(log: Log, folder = releaseFolder()): AgentRelease | null {
  try {
    const read = (name: string) => readFileSync(join(folder, name), 'utf8').trim();
    const release = { version: read('VERSION'), sha256: read('.sha256') };
    if (release.version !== '' && /^[0-9a-f]{64}$/.test(release.sha256)) return release;
    log('warn', 'the release of this agent cannot be told', { folder, ...release });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      log('warn', 'the release of this agent cannot be read', { folder, error: String(error) });
  }
  return null;
}
