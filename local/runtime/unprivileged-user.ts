/**
 * As whom PostgreSQL and the proxies run. They refuse to run as root, so root hands them to the `postgres` user, else to
 * `nobody`; where that user cannot reach a folder, data has to go elsewhere.
 */
import { spawnSync } from 'node:child_process';
import type { RunAs } from '../../adapters/process.ts';

/** Null when this process is an ordinary user, who runs everything itself. Throws when root has nobody to run it as. */
export function unprivilegedUser(): RunAs | null {
  if (process.getuid?.() !== 0) return null;
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((flag) => idOf(flag, name));
    if (uid !== undefined && gid !== undefined) return { uid, gid };
  }
  throw new Error('PostgreSQL does not run as root, and there is neither a user postgres nor nobody');
}

function idOf(flag: string, name: string): number | undefined {
  const answer = spawnSync('id', [flag, name], { encoding: 'utf8', timeout: 5_000 });
  const id = Number(answer.stdout.trim());
  return answer.status === 0 && Number.isInteger(id) && id > 0 ? id : undefined;
}

/** Whether that user can enter the folder; every folder above it counts. */
export function canEnter(folder: string, runAs: RunAs | null): boolean {
  if (runAs === null) return true;
  const answer = spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], {
    cwd: '/',
    stdio: 'ignore',
    timeout: 5_000,
    uid: runAs.uid,
    gid: runAs.gid,
  });
  return answer.status === 0;
}
