// What one PostgreSQL server of a host is: its folders, addresses, users. Everything else in this folder takes it as its
// first argument. Upholds that a host is described once, and that nothing of it reaches a command line but paths, ports
// and names.

import { readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { type ProgramResult, type RunAs, runProgram } from '../process.ts';
import type { TlsFiles } from '../tls/tls-folder.ts';

export interface Credentials {
  readonly name: string;
  readonly password: string;
}

/** One program run, for a transcript: argv holds no secret. `exitCode` is null when it was killed or did not start. */
export interface CommandReport {
  readonly argv: readonly string[];
  readonly exitCode: number | null;
  readonly ms: number;
  readonly stderrTail: string;
}

export interface PostgresHostOptions {
  /** cluster_name of the server and application_name of its receiver: the node's id. */
  readonly nodeName: string;
  readonly binDir: string;
  /** Absolute; its parent exists and can be entered by `runAs`. Siblings '<dataDir>.*' belong to Leasehold too. */
  readonly dataDir: string;
  readonly port: number;
  /** As listen_addresses takes it. */
  readonly listenAddresses: string;
  /** For the agent's own connections; a short path, for a socket's name has 107 bytes at most. */
  readonly socketDir: string;
  /** Null: as the agent's own user, which must not be root. */
  readonly runAs: RunAs | null;
  readonly superuser: Credentials;
  readonly replication: Credentials;
  /** Logins beside those two that the password file is to hold, while they are rotated. */
  readonly moreLogins?: () => readonly Credentials[];
  readonly logFile: string;
  /** What the server's TLS is made of, asked at each use; left out or null: TLS is the cluster's own business. */
  readonly tls?: () => TlsFiles | null;
  /** Extra settings, name to value; those that Leasehold owns are refused (see configuration.ts). */
  readonly settings?: Readonly<Record<string, string>>;
  /** Lines of pg_hba.conf after Leasehold's own; by default everybody with a password. */
  readonly hbaRules?: readonly string[];
  /** A program put before 'postgres' that ends by executing it, such as one that refuses a fenced epoch. */
  readonly launcher?: readonly string[];
  readonly onCommand?: (report: CommandReport) => void;
}

export interface PostgresHost extends PostgresHostOptions {
  /** The path that /proc shows as the working directory of every server process. */
  readonly realDataDir: string;
}

const LONGEST_SOCKET_PATH = 107;

/** Checks what later would fail far from its cause. Throws with the name of the field: a configuration error. */
export function createPostgresHost(options: PostgresHostOptions): PostgresHost {
  for (const field of ['binDir', 'dataDir', 'socketDir', 'logFile'] as const) {
    if (!isAbsolute(options[field])) throw new Error(`${field} must be an absolute path: ${options[field]}`);
  }
  if (!Number.isInteger(options.port) || options.port < 1 || options.port > 65_535) {
    throw new Error(`port must be 1 to 65535: ${options.port}`);
  }
  if (`${options.socketDir}/.s.PGSQL.${options.port}`.length > LONGEST_SOCKET_PATH) {
    throw new Error(
      `socketDir is too long for a socket's name (${LONGEST_SOCKET_PATH} bytes): ${options.socketDir}`,
    );
  }
  if (!/^[A-Za-z0-9_.-]{1,63}$/.test(options.nodeName)) {
    throw new Error(
      `nodeName must be 1 to 63 letters, digits, dots, dashes or underscores: ${options.nodeName}`,
    );
  }
  // A symbolic link in the path would hide every process from a comparison of texts.
  const realDataDir = join(realpathSync(dirname(options.dataDir)), basename(options.dataDir));
  return { ...options, realDataDir };
}

/** What lies beside the data directory, and so survives its replacement and is copied by nobody. */
export const siblings = {
  passwordFile: (host: PostgresHost): string => `${host.dataDir}.pgpass`,
  quarantine: (host: PostgresHost): string => `${host.dataDir}.quarantine`,
  initialising: (host: PostgresHost, nonce: string): string => `${host.dataDir}.initialising-${nonce}`,
  rebuilding: (host: PostgresHost, nonce: string): string => `${host.dataDir}.rebuilding-${nonce}`,
  kept: (host: PostgresHost, nonce: string): string => `${host.dataDir}.kept-${nonce}`,
};

export interface PostgresProgramOptions {
  readonly timeoutMs: number;
  readonly stdin?: string;
  readonly signal?: AbortSignal;
}

/** Runs one of PostgreSQL's programs as the server's user, and reports it. Passwords come from the password file. */
export async function runPostgresProgram(
  host: PostgresHost,
  program: string,
  args: readonly string[],
  options: PostgresProgramOptions,
): Promise<ProgramResult> {
  const argv = [join(host.binDir, program), ...args];
  const env = { PGPASSFILE: siblings.passwordFile(host), PGCONNECT_TIMEOUT: '5', PGAPPNAME: host.nodeName };
  const result = await runProgram(argv, { ...options, env, runAs: host.runAs });
  host.onCommand?.({
    argv,
    exitCode: result.kind === 'exited' ? result.exitCode : null,
    ms: result.kind === 'not-started' ? 0 : result.ms,
    stderrTail: result.kind === 'not-started' ? result.reason : result.stderrTail,
  });
  return result;
}

/** Whether a program ended well. */
export function succeeded(result: ProgramResult): result is ProgramResult & { kind: 'exited' } {
  return result.kind === 'exited' && result.exitCode === 0;
}

/** How a program ended, with its last words, for an error value. */
export function describeResult(result: ProgramResult): string {
  switch (result.kind) {
    case 'exited':
      return `exit code ${result.exitCode}: ${lastWords(result)}`;
    case 'killed':
      return `killed by ${result.signal}: ${lastWords(result)}`;
    case 'timed-out':
      return `out of time after ${Math.round(result.ms)} ms: ${lastWords(result)}`;
    case 'not-started':
      return `not started: ${result.reason}`;
  }
}

function lastWords(result: { readonly stdout: string; readonly stderrTail: string }): string {
  return (result.stderrTail.trim() || result.stdout.trim()).slice(-2_000);
}

/** Attachments of a System V shared memory segment; null when there is no such segment. /proc, so never slow. */
export function sharedMemoryAttachments(shmId: number): number | null {
  for (const line of readFileSync('/proc/sysvipc/shm', 'latin1').split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (Number(fields[1]) === shmId) return Number(fields[6]);
  }
  return null;
}
