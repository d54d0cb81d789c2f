// A mark beside the data directory that says: do not start this. Made before pg_rewind touches the first byte and removed
// when it has succeeded, because a half rewound directory can look fine and hold the blocks of two histories.

import { readTextFile, removeFile, writeFileAtomically } from './files.ts';
import { type PostgresHost, siblings } from './host.ts';

export async function isQuarantined(host: PostgresHost): Promise<boolean> {
  return (await quarantineReason(host)) !== null;
}

/** Why the directory must not be started, or null when it may be. */
export async function quarantineReason(host: PostgresHost): Promise<string | null> {
  return readTextFile(siblings.quarantine(host));
}

export async function quarantine(host: PostgresHost, reason: string): Promise<void> {
  await writeFileAtomically(siblings.quarantine(host), `${reason}\n`, { owner: null, mode: 0o644 });
}

export async function liftQuarantine(host: PostgresHost): Promise<void> {
  await removeFile(siblings.quarantine(host));
}
