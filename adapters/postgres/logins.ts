// Leasehold's own logins, each of which alternates between a role and a member of it (`<role>_alt`), so that the password in use is
// never changed while somebody uses it. Upholds that a password reaches a running server as a SCRAM verifier only: what the server may
// log, or show in a view, opens nothing.

import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { baseRole, type LoginKind, otherRole } from '../../core/model/cluster-secrets.ts';
import { trustingAuthority } from '../tls/trusting-authority.ts';
import { quoteRole } from './configuration.ts';
import { type ConnectionOptions, LocalConnection, type QueryFailure } from './connection.ts';
import type { Credentials, PostgresHost } from './host.ts';

const STATEMENT_TIMEOUT_MS = 5_000;
const LOGIN_TIMEOUT_MS = 3_000;
/** PostgreSQL's own default. */
const ITERATIONS = 4096;
const SALT_BYTES = 16;
/**
 * invalid_password, invalid_authorization_specification, insufficient_privilege (a walsender for a role that may not replicate): the
 * server has looked at the login, and refused it.
 */
const REFUSALS = new Set(['28P01', '28000', '42501']);

const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;

/** Without an exception that is caught: a single-user server that is to end at the first error ends at that one too. */
export function createRoleIfMissing(name: string, memberOf: string | null = null): string {
  // A member from the first: no crash leaves one that looks like somebody else's role.
  const create = `CREATE ROLE ${quoteRole(name)}${memberOf === null ? '' : ` IN ROLE ${quoteRole(memberOf)}`}`;
  return `DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${literal(name)}) THEN ${create}; END IF; END $$`;
}

/**
 * Makes a login, or makes it as it should be; the password comes last, so that whoever can log in finds the rest in place. `password` may be
 * a SCRAM verifier. A superuser's second name acts as the first, so that what it creates belongs to the same role.
 */
export function loginStatements(kind: LoginKind, name: string, password: string): string[] {
  const base = baseRole(name);
  const role = quoteRole(name);
  const right = kind === 'superuser' ? 'SUPERUSER' : 'REPLICATION';
  const member =
    base === name
      ? []
      : [
          createRoleIfMissing(name, base),
          `GRANT ${quoteRole(base)} TO ${role}`,
          ...(kind === 'superuser' ? [`ALTER ROLE ${role} SET role = ${literal(base)}`] : []),
        ];
  return [...member, `ALTER ROLE ${role} WITH LOGIN ${right} PASSWORD ${literal(password)}`];
}

/** As PostgreSQL stores a password (RFC 5803). Only ASCII, which needs no SASLprep; throws for anything else. */
export function scramVerifier(password: string, salt = randomBytes(SALT_BYTES)): string {
  if (!/^[\x21-\x7e]+$/.test(password))
    throw new Error('a password to be set has other characters than ASCII');
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, 'sha256');
  const key = (name: string) => createHmac('sha256', salted).update(name).digest();
  const stored = createHash('sha256').update(key('Client Key')).digest('base64');
  const server = key('Server Key').toString('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${stored}:${server}`;
}

export type LoginFailure =
  | QueryFailure
  /** There is a role of that name which Leasehold has not made: somebody else's, which must not be given such rights. */
  | { readonly kind: 'somebody-elses'; readonly role: string };

/** Null, or why it could not be done. Repeating it is harmless. */
export async function setLogin(
  connection: Pick<LocalConnection, 'query'>,
  kind: LoginKind,
  { name, password }: Credentials,
): Promise<LoginFailure | null> {
  const foreign = await connection.query(somebodyElses(name), STATEMENT_TIMEOUT_MS);
  if (foreign.kind !== 'rows') return foreign;
  if (foreign.rows.length > 0) return { kind: 'somebody-elses', role: name };
  for (const statement of loginStatements(kind, name, scramVerifier(password))) {
    const answer = await connection.query(statement, STATEMENT_TIMEOUT_MS);
    if (answer.kind !== 'rows') return answer;
  }
  return null;
}

/**
 * A row when the second of a login's two roles is there and no member of the first: then they are not a pair that Leasehold made. By the
 * catalog, for `pg_has_role` says yes for each superuser.
 */
function somebodyElses(name: string): string {
  const base = baseRole(name);
  return `select from pg_roles a where a.rolname = ${literal(otherRole(base))} and not exists (
    select from pg_auth_members m join pg_roles b on b.oid = m.roleid where m.member = a.oid and b.rolname = ${literal(base)})`;
}

/**
 * Whether this server takes that login and gives it the right that it is for; null when it cannot be asked. That of replication is asked
 * by TCP, as receivers and rewinds come, for other lines of pg_hba.conf are for these than for the socket.
 */
export async function takesLogin(
  host: PostgresHost,
  kind: LoginKind,
  login: Credentials,
): Promise<boolean | null> {
  if (kind === 'superuser') return await gives(host, login, 'rolsuper', {});
  const tcp = await ownAddress(host);
  const replicates = await asks(host, login, 'IDENTIFY_SYSTEM', { tcp, replication: 'true' });
  return replicates.taken === true ? await gives(host, login, 'rolreplication', { tcp }) : replicates.taken;
}

async function gives(
  host: PostgresHost,
  login: Credentials,
  right: string,
  options: ConnectionOptions,
): Promise<boolean | null> {
  const sql = `select ${right} as given from pg_roles where rolname = session_user`;
  const { taken, row } = await asks(host, login, sql, options);
  return taken === true ? row?.['given'] === true : taken;
}

async function asks(host: PostgresHost, login: Credentials, sql: string, options: ConnectionOptions) {
  const connection = new LocalConnection(
    { ...host, superuser: login },
    { applicationName: 'leasehold-login', ...options },
  );
  try {
    const answer = await connection.query(sql, LOGIN_TIMEOUT_MS);
    if (answer.kind === 'rows') return { taken: true, row: answer.rows[0] };
    return { taken: answer.kind === 'query-failed' && REFUSALS.has(answer.sqlstate) ? false : null };
  } finally {
    connection.close();
  }
}

/** Where this server listens, and how a standby's receiver would trust it. */
async function ownAddress(host: PostgresHost): Promise<NonNullable<ConnectionOptions['tcp']>> {
  const first = host.listenAddresses.split(',')[0]?.trim() ?? '';
  const everywhere: Readonly<Record<string, string>> = {
    '*': '127.0.0.1',
    '0.0.0.0': '127.0.0.1',
    '::': '::1',
  };
  const files = host.tls?.() ?? null;
  const ssl = files === null ? false : trustingAuthority(await readFile(files.authorities, 'utf8'));
  return { host: everywhere[first] ?? first, ssl };
}
