// The configuration of a server: which settings Leasehold owns, and how they are written. pg_basebackup and pg_rewind copy
// the files of another node, and ALTER SYSTEM overrides every included file, so a node's identity is written anew before
// each start and owned settings are taken out of postgresql.auto.conf. Upholds that a server never starts with another
// node's port, name or upstream.

import { join } from 'node:path';
import { baseRole } from '../../core/model/cluster-secrets.ts';
import type { TlsFiles } from '../tls/tls-folder.ts';
import { readTextFile, removeFile, writeFileAtomically, writeFileIfChanged } from './files.ts';
import { type PostgresHost, siblings } from './host.ts';

/** Where a standby receives from. */
export interface Upstream {
  readonly host: string;
  readonly port: number;
  /** A physical slot that exists there; null: without one. */
  readonly slot: string | null;
  /** What synchronous_standby_names calls this node; by default its name. */
  readonly applicationName?: string;
}

const IDENTITY_FILE = 'leasehold.conf';
const STANDBY_FILE = 'leasehold.standby.conf';
const SYNCHRONOUS_FILE = 'leasehold.synchronous.conf';
const AUTO_FILE = 'postgresql.auto.conf';
/** Last in postgresql.conf, in this order: the last value of a setting counts. */
const INCLUDES = [IDENTITY_FILE, STANDBY_FILE, SYNCHRONOUS_FILE];
const NOTICE = '# Written by Leasehold; changes made here are lost.\n';

/** Defaults that a cluster's extra settings may override. */
export const DEFAULT_SETTINGS: Readonly<Record<string, string>> = {
  max_wal_senders: '16',
  max_replication_slots: '16',
  // pg_rewind reads the old primary's and the new one's log back to the fork.
  wal_keep_size: '512MB',
  // A slot of a member that stays away must not fill the disk of the primary.
  max_slot_wal_keep_size: '10GB',
  // How soon a dead peer is noticed by replication itself; the lease does not depend on it.
  wal_sender_timeout: '5s',
  wal_receiver_timeout: '5s',
  wal_receiver_status_interval: '1s',
  // Its default of 5 s would be the delay of a standby whose new primary was not there at the first attempt.
  wal_retrieve_retry_interval: '100ms',
  password_encryption: 'scram-sha-256',
};

/** What Leasehold decides; refused among the extra settings. */
const OWNED_SETTINGS = new Set([
  'listen_addresses',
  'port',
  'unix_socket_directories',
  'cluster_name',
  'data_directory',
  'hba_file',
  'wal_level',
  'hot_standby',
  'wal_log_hints',
  'full_page_writes',
  'primary_conninfo',
  'primary_slot_name',
  'recovery_target_timeline',
  'recovery_target',
  'recovery_target_lsn',
  'recovery_target_name',
  'recovery_target_time',
  'recovery_target_xid',
  'promote_trigger_file',
  'synchronous_standby_names',
  // Shortened for a promotion by ALTER SYSTEM, see promote.ts: what a crash leaves of that goes at the next start.
  'wal_retrieve_retry_interval',
]);

/** Leasehold's too where it keeps the server's certificate. A reload reads the files anew. */
function tlsSettings(tls: TlsFiles): [string, string][] {
  return [
    ['ssl', 'on'],
    ['ssl_cert_file', tls.certificate],
    ['ssl_key_file', tls.key],
    // Nobody logs in with a certificate: no client is asked for one.
    ['ssl_ca_file', ''],
    ['ssl_min_protocol_version', 'TLSv1.2'],
  ];
}

function tlsOf(host: PostgresHost): TlsFiles | null {
  return host.tls?.() ?? null;
}

/** Names of extra settings that cannot be accepted, with the reason, or an empty list. */
export function refusedSettings(settings: Readonly<Record<string, string>>): string[] {
  const refused: string[] = [];
  for (const [name, value] of Object.entries(settings)) {
    if (OWNED_SETTINGS.has(name.toLowerCase())) refused.push(`${name}: Leasehold sets it`);
    else if (!/^[A-Za-z_][A-Za-z0-9_.]*$/.test(name)) refused.push(`${name}: not the name of a setting`);
    else if (/[\r\n\0]/.test(value)) refused.push(`${name}: its value spans lines`);
  }
  return refused;
}

function setting(name: string, value: string): string {
  return `${name} = '${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'\n`;
}

/** The text of leasehold.conf. Extra settings come before the owned ones, so that these always count. */
export function identityText(host: PostgresHost): string {
  const values: [string, string][] = [
    ...Object.entries({ ...DEFAULT_SETTINGS, ...host.settings }),
    ['listen_addresses', host.listenAddresses],
    ['port', String(host.port)],
    ['unix_socket_directories', host.socketDir],
    ['cluster_name', host.nodeName],
    ['wal_level', host.settings?.wal_level ?? 'replica'],
    ['hot_standby', 'on'],
    ['wal_log_hints', 'on'],
    // EBS prevents torn writes only for O_DIRECT; and pg_rewind needs it.
    ['full_page_writes', 'on'],
  ];
  const tls = tlsOf(host);
  if (tls !== null) values.push(...tlsSettings(tls));
  return NOTICE + values.map(([name, value]) => setting(name, value)).join('');
}

/** The text of leasehold.standby.conf; null: no receiver at all. */
export function standbyText(host: PostgresHost, upstream: Upstream | null): string {
  const values: [string, string][] = [
    ['primary_conninfo', upstream === null ? '' : connectionInfo(host, upstream, 'replication')],
    ['primary_slot_name', upstream?.slot ?? ''],
    ['recovery_target_timeline', 'latest'],
  ];
  return NOTICE + values.map(([name, value]) => setting(name, value)).join('');
}

/**
 * A libpq connection string to another node. The password comes from the password file, so that it shows in no command
 * line, no log and no view.
 */
export function connectionInfo(
  host: PostgresHost,
  server: { readonly host: string; readonly port: number; readonly applicationName?: string },
  purpose: 'replication' | 'rewind',
): string {
  const parts: [string, string][] = [
    ['host', server.host],
    ['port', String(server.port)],
    ['user', host.replication.name],
    ['passfile', siblings.passwordFile(host)],
    ['application_name', server.applicationName ?? host.nodeName],
    ['connect_timeout', '5'],
    ['keepalives_idle', '5'],
    ['keepalives_interval', '2'],
    ['keepalives_count', '3'],
    ['tcp_user_timeout', '10000'],
  ];
  const tls = tlsOf(host);
  // Not verify-full: an authority signs for one cluster alone, and whoever has a certificate of it could do worse than play a node.
  if (tls !== null) parts.push(['sslmode', 'verify-ca'], ['sslrootcert', tls.authorities]);
  if (purpose === 'rewind') parts.push(['dbname', 'postgres']);
  return parts.map(([name, value]) => `${name}=${quoteConnectionValue(value)}`).join(' ');
}

function quoteConnectionValue(value: string): string {
  if (/^[A-Za-z0-9_./:-]+$/.test(value)) return value;
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

/**
 * Writes what makes the directory this node's: settings, access rules, password file; takes owned settings out of
 * postgresql.auto.conf. Leaves the upstream and the synchronous names as they are. Only while the server is stopped.
 */
export async function writeIdentity(host: PostgresHost, dataDir = host.dataDir): Promise<void> {
  const refused = refusedSettings(withoutWalLevel(host.settings ?? {}));
  if (refused.length > 0) throw new Error(`settings that cannot be accepted: ${refused.join('; ')}`);
  const own = { owner: host.runAs };
  await ensureIncludes(host, dataDir);
  await writeFileIfChanged(join(dataDir, IDENTITY_FILE), identityText(host), own);
  for (const name of [STANDBY_FILE, SYNCHRONOUS_FILE]) {
    if ((await readTextFile(join(dataDir, name))) === null) {
      const text = name === STANDBY_FILE ? standbyText(host, null) : synchronousText('');
      await writeFileAtomically(join(dataDir, name), text, own);
    }
  }
  await writeAccessRules(host, dataDir);
  await writePasswordFile(host);
  await clearOwnedAutoSettings(host, dataDir);
}

/** wal_level may be raised to logical: the one owned setting that a cluster can choose. */
function withoutWalLevel(settings: Readonly<Record<string, string>>): Record<string, string> {
  const { wal_level: walLevel, ...rest } = settings;
  return walLevel === undefined || walLevel === 'replica' || walLevel === 'logical' ? rest : { ...settings };
}

async function ensureIncludes(host: PostgresHost, dataDir: string): Promise<void> {
  const path = join(dataDir, 'postgresql.conf');
  const text = (await readTextFile(path)) ?? '';
  const wanted = INCLUDES.map((name) => `include_if_exists = '${name}'`);
  const kept = text.split('\n').filter((line) => !wanted.includes(line));
  while (kept.at(-1) === '') kept.pop();
  await writeFileIfChanged(path, `${[...kept, ...wanted].join('\n')}\n`, { owner: host.runAs });
}

/**
 * Leasehold's own rules first, for the first match counts: its users always get in, with a password. Over TCP with TLS alone, where it is
 * kept. By membership (`+`), for a login alternates between a role and a member of it.
 */
async function writeAccessRules(host: PostgresHost, dataDir: string): Promise<void> {
  const [superuser, replication] = ownRoles(host).map((role) => `+${role}`);
  const secure = tlsOf(host) !== null;
  const rules = [
    `local all ${superuser} scram-sha-256`,
    `host replication ${replication} all scram-sha-256`,
    `local replication ${superuser} scram-sha-256`,
    `host postgres ${replication} all scram-sha-256`,
    ...(host.hbaRules ?? ['local all all scram-sha-256', 'host all all all scram-sha-256']),
  ].map((rule) => (secure ? rule.replace(/^host(?=\s)/, 'hostssl') : rule));
  const path = join(dataDir, 'pg_hba.conf');
  const before = await readTextFile(path);
  if (before !== null && !before.startsWith(NOTICE)) {
    await writeFileIfChanged(`${path}.before-leasehold`, before, { owner: host.runAs });
  }
  await writeFileIfChanged(path, `${NOTICE}${rules.join('\n')}\n`, { owner: host.runAs });
}

function ownRoles(host: PostgresHost): string[] {
  return [host.superuser, host.replication].map(({ name }) => quoteRole(baseRole(name)));
}

/**
 * Rules that an older version wrote take no members. All else stays as it is, TLS too, which is the business of the next start. `foreign`:
 * somebody has put rules in place of Leasehold's.
 */
export async function admitMembers(host: PostgresHost): Promise<'changed' | 'as-it-was' | 'foreign'> {
  const path = join(host.dataDir, 'pg_hba.conf');
  const text = await readTextFile(path);
  if (text === null || !text.startsWith(NOTICE)) return 'foreign';
  const taking = ownRoles(host).reduce((rules, role) => rules.replaceAll(` ${role} `, ` +${role} `), text);
  return (await writeFileIfChanged(path, taking, { owner: host.runAs })) ? 'changed' : 'as-it-was';
}

export function quoteRole(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Beside the data directory, so that no base backup copies it. */
export async function writePasswordFile(host: PostgresHost): Promise<void> {
  const logins = [...(host.moreLogins?.() ?? []), host.superuser, host.replication];
  const users = new Map(logins.map(({ name, password }) => [name, password]));
  const lines = [...users].map(
    ([name, password]) => `*:*:*:${escapePassword(name)}:${escapePassword(password)}\n`,
  );
  await writeFileIfChanged(siblings.passwordFile(host), lines.join(''), { owner: host.runAs });
}

function escapePassword(text: string): string {
  if (/[\r\n\0]/.test(text)) throw new Error('a user name or password spans lines');
  return text.replaceAll('\\', '\\\\').replaceAll(':', '\\:');
}

async function clearOwnedAutoSettings(host: PostgresHost, dataDir: string): Promise<void> {
  const path = join(dataDir, AUTO_FILE);
  const text = await readTextFile(path);
  if (text === null) return;
  const secure = tlsOf(host) !== null;
  const kept = text.split('\n').filter((line) => {
    const name = /^\s*([A-Za-z_][A-Za-z0-9_.]*)\s*=/.exec(line)?.[1]?.toLowerCase();
    if (name === undefined) return true;
    return !OWNED_SETTINGS.has(name) && !(secure && /^ssl(_|$)/.test(name));
  });
  await writeFileIfChanged(path, kept.join('\n'), { owner: host.runAs });
}

/** Names the upstream on disk; a running server has to be told to reload. */
export async function writeUpstream(
  host: PostgresHost,
  upstream: Upstream | null,
  dataDir = host.dataDir,
): Promise<void> {
  if (upstream?.slot != null && !isSlotName(upstream.slot))
    throw new Error(`not a slot's name: ${upstream.slot}`);
  await writeFileIfChanged(join(dataDir, STANDBY_FILE), standbyText(host, upstream), { owner: host.runAs });
}

/** What PostgreSQL accepts: lower case letters, digits and underscores. */
export function isSlotName(name: string): boolean {
  return /^[a-z0-9_]{1,63}$/.test(name);
}

export async function writeSynchronousNames(host: PostgresHost, value: string): Promise<void> {
  if (/[\r\n\0]/.test(value)) throw new Error('synchronous_standby_names spans lines');
  await writeFileIfChanged(join(host.dataDir, SYNCHRONOUS_FILE), synchronousText(value), {
    owner: host.runAs,
  });
}

function synchronousText(value: string): string {
  return NOTICE + setting('synchronous_standby_names', value);
}

/** Makes the next start a standby's. */
export async function createStandbySignal(host: PostgresHost, dataDir = host.dataDir): Promise<void> {
  await writeFileIfChanged(join(dataDir, 'standby.signal'), '', { owner: host.runAs });
}

/** Makes the next start a primary's. recovery.signal too: an archive recovery is never what Leasehold wants. */
export async function removeStandbySignal(host: PostgresHost, dataDir = host.dataDir): Promise<void> {
  await removeFile(join(dataDir, 'standby.signal'));
  await removeFile(join(dataDir, 'recovery.signal'));
}
