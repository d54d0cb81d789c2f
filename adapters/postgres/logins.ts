// Leasehold's own logins, each of which alternates between a role and a member of it (`<role>_alt`), so that the password in use is
// never changed while somebody uses it. Upholds that a password reaches a running server as a SCRAM verifier only: what the server may
// log, or show in a view, opens nothing.

import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { baseRole, type LoginKind } from '../../core/model/cluster-secrets.ts';
import { quoteRole } from './configuration.ts';
import { LocalConnection, type QueryFailure } from './connection.ts';
import type { Credentials, PostgresHost } from './host.ts';

const STATEMENT_TIMEOUT_MS = 5_000;
const LOGIN_TIMEOUT_MS = 3_000;
/** PostgreSQL's own default. */
const ITERATIONS = 4096;
const SALT_BYTES = 16;
/** invalid_password, invalid_authorization_specification: the server has looked at the login, and refused it. */
const REFUSALS = new Set(['28P01', '28000']);

const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;

/** Without an exception that is caught: a single-user server that is to end at the first error ends at that one too. */
export function createRoleIfMissing(name: string): string {
  return `DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${literal(name)}) THEN CREATE ROLE ${quoteRole(name)}; END IF; END $$`;
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
          createRoleIfMissing(name),
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

/** Null, or why it could not be done. Repeating it is harmless. */
export async function setLogin(
  connection: LocalConnection,
  kind: LoginKind,
  { name, password }: Credentials,
): Promise<QueryFailure | null> {
  for (const statement of loginStatements(kind, name, scramVerifier(password))) {
    const answer = await connection.query(statement, STATEMENT_TIMEOUT_MS);
    if (answer.kind !== 'rows') return answer;
  }
  return null;
}

/** Whether this server takes that login and gives it the right that it is for; null when it cannot be asked. */
export async function takesLogin(
  host: PostgresHost,
  kind: LoginKind,
  login: Credentials,
): Promise<boolean | null> {
  const connection = new LocalConnection(
    { ...host, superuser: login },
    { applicationName: 'leasehold-login' },
  );
  try {
    const answer = await connection.query(
      'select rolsuper, rolreplication from pg_roles where rolname = session_user',
      LOGIN_TIMEOUT_MS,
    );
    if (answer.kind === 'query-failed') return REFUSALS.has(answer.sqlstate) ? false : null;
    if (answer.kind !== 'rows') return null;
    return answer.rows[0]?.[kind === 'superuser' ? 'rolsuper' : 'rolreplication'] === true;
  } finally {
    connection.close();
  }
}
