// Prepares a data directory that was made elsewhere to be the first primary of a cluster: it must be a whole one, whose recovery is at its end,
// for to open a standby or half a backup for writing would begin a second history under the same timeline. Crash recovery, roles
// and passwords by a single-user server: no port is opened. Files that are replaced are kept beside. May be done again.

import { constants } from 'node:fs';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { baseRole } from '../../core/model/cluster-secrets.ts';
import type { SystemIdentifier } from '../../core/model/system-identifier.ts';
import type { ControlData } from '../../core/wire/parse-pg-control.ts';
import { quoteRole, writeIdentity } from './configuration.ts';
import { readControlFile } from './control-file.ts';
import { pathExists } from './files.ts';
import type { PostgresHost } from './host.ts';
import { roleStatements, runSingleUser } from './initialise.ts';
import { killLeftoverPrograms } from './leftover-programs.ts';
import { createRoleIfMissing, loginStatements } from './logins.ts';

export type Adoption =
  | { readonly kind: 'adopted'; readonly timeline: number }
  /** Nothing was changed. */
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string };

/** What says that a recovery has not come to its end. */
const unfinished = ['standby.signal', 'recovery.signal', 'recovery.conf', 'backup_label'] as const;
/** A crash recovery replays what has been written since the last checkpoint. */
const recoveryTimeoutMs = 30 * 60_000;

export async function adopt(host: PostgresHost, system: SystemIdentifier): Promise<Adoption> {
  const before = await readControlFile(host.dataDir);
  if (before.kind !== 'control-data') return { kind: 'refused', reason: 'its control file cannot be read' };
  const refused = await whyNot(host, system, before);
  if (refused !== null) return { kind: 'refused', reason: refused };
  await killLeftoverPrograms(host);
  for (const name of ['postgresql.conf', 'pg_hba.conf', 'postgresql.auto.conf'])
    await keepOriginal(host, name);
  await writeIdentity(host);
  const done = await runSingleUser(
    host,
    host.dataDir,
    [...superuserStatements(host), ...roleStatements(host)],
    recoveryTimeoutMs,
  );
  if (done !== null) return { kind: 'failed', reason: done };
  const after = await readControlFile(host.dataDir);
  if (after.kind !== 'control-data' || after.state !== 'shut-down' || after.systemIdentifier !== system)
    return { kind: 'failed', reason: 'it was not shut down cleanly' };
  return { kind: 'adopted', timeline: after.checkpointTimeline };
}

async function whyNot(
  host: PostgresHost,
  system: SystemIdentifier,
  control: ControlData,
): Promise<string | null> {
  if (control.systemIdentifier !== system) return `it is of system ${control.systemIdentifier}`;
  for (const name of unfinished)
    if (await pathExists(join(host.dataDir, name)))
      return `there is a ${name}: start it, let its recovery come to an end, promote it, and stop it`;
  if (control.state === 'shut-down-in-recovery' || control.state === 'in-archive-recovery')
    return `it was a standby (${control.state}): promote it, and stop it`;
  if (control.backupEndRequired) return 'it is a base backup that has not been recovered to its end';
  return null;
}

/** The first original stays: an adoption that is done again finds what it has written itself. */
async function keepOriginal(host: PostgresHost, name: string): Promise<void> {
  const path = join(host.dataDir, name);
  if (!(await pathExists(path))) return;
  const kept = `${path}.before-adoption`;
  if (await pathExists(kept)) return;
  await copyFile(path, kept, constants.COPYFILE_EXCL);
  if ((await readFile(kept, 'utf8')) !== (await readFile(path, 'utf8')))
    throw new Error(`${kept} is not whole`);
}

/** Leasehold's superuser, made where the system has none of that name. */
function superuserStatements(host: PostgresHost): string[] {
  const { name, password } = host.superuser;
  const base = baseRole(name);
  return [
    createRoleIfMissing(base),
    ...(base === name ? [] : [`ALTER ROLE ${quoteRole(base)} WITH SUPERUSER`]),
    ...loginStatements('superuser', name, password),
  ];
}
