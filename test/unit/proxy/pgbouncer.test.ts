/** What PgBouncer is told and what it says, without PgBouncer. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findProxyPrograms } from '../../../adapters/proxy/find-programs.ts';
import {
  type PgbouncerConfig,
  renderPgbouncerConfig,
  renderUserlist,
  secretInUserlist,
} from '../../../adapters/proxy/pgbouncer-config.ts';
import { countPools } from '../../../adapters/proxy/pgbouncer-console.ts';

const config: PgbouncerConfig = {
  listen: { host: '127.0.0.1', port: 6432 },
  socketFolder: '/run/x',
  upstream: { host: '/run/x/upstream', port: 5432 },
  tls: null,
  authFile: '/run/x/userlist.txt',
  consoleUser: 'console',
  maxClients: 100,
  poolSize: 20,
  patienceMs: 60_000,
  ignoredStartupParameters: ['extra_float_digits'],
  authQuery: null,
};

describe('pgbouncer.ini', () => {
  it('sends every database to the one upstream that does not change', () => {
    expect(renderPgbouncerConfig(config)).toContain("[databases]\n* = host='/run/x/upstream' port=5432\n");
  });

  it('lets queries and logins wait equally long, and tries again at once after a failed login', () => {
    const lines = renderPgbouncerConfig(config).split('\n');
    for (const line of [
      'query_wait_timeout = 60',
      'server_connect_timeout = 60',
      'client_login_timeout = 60',
      'server_login_retry = 0.05',
    ])
      expect(lines).toContain(line);
  });

  it('has clients come with TLS, and verifies the primary, where there is a certificate', () => {
    expect(renderPgbouncerConfig(config)).not.toContain('_tls_');
    const tls = { certificate: '/t/certificate.pem', key: '/t/key.pem', authorities: '/t/authorities.pem' };
    const lines = renderPgbouncerConfig({
      ...config,
      tls,
      upstream: { host: '127.0.0.2', port: 5001 },
    }).split('\n');
    for (const line of [
      "* = host='127.0.0.2' port=5001",
      'client_tls_sslmode = require',
      'client_tls_cert_file = /t/certificate.pem',
      'client_tls_key_file = /t/key.pem',
      'client_tls_protocols = secure',
      'server_tls_sslmode = verify-ca',
      'server_tls_ca_file = /t/authorities.pem',
      'server_tls_protocols = secure',
    ])
      expect(lines).toContain(line);
  });

  it('opens no more server connections of a database because two roles use it', () => {
    const lines = renderPgbouncerConfig({ ...config, poolSize: 7 }).split('\n');
    expect(lines).toContain('default_pool_size = 7');
    expect(lines).toContain('max_db_connections = 7');
  });

  it('refuses a value that would smuggle in a setting', () => {
    const authQuery = { user: 'a\nadmin_users = a', query: 'select 1' };
    expect(() => renderPgbouncerConfig({ ...config, authQuery })).toThrow('auth_user holds a line break');
  });
});

describe('userlist.txt', () => {
  it('gives back names and secrets with quotes and backslashes in them', () => {
    const users = [
      { name: 'app', secret: 'plain' },
      { name: 'o"brien', secret: 'a "quoted" \\ secret' },
    ];
    const text = renderUserlist(users);
    for (const { name, secret } of users) expect(secretInUserlist(text, name)).toBe(secret);
    expect(secretInUserlist(text, 'nobody')).toBeNull();
  });

  it('refuses a name that would smuggle in a user', () => {
    expect(() => renderUserlist([{ name: 'a" "x"\n"root', secret: '' }])).toThrow('line break');
  });
});

describe('the pools', () => {
  it('are summed without the console itself', () => {
    const pool = {
      cl_active: '2',
      cl_waiting: '1',
      sv_active: '1',
      sv_idle: '3',
      sv_used: '1',
      sv_tested: '1',
    };
    const counts = countPools([
      { database: 'app', ...pool, sv_login: '1', maxwait: '1', maxwait_us: '500000' },
      { database: 'other', ...pool, sv_login: '0', maxwait: '0', maxwait_us: '20000' },
      { database: 'pgbouncer', ...pool, sv_login: '7', maxwait: '0', maxwait_us: '0' },
    ]);
    expect(counts).toEqual({
      clientsActive: 4,
      clientsWaiting: 2,
      serversActive: 2,
      serversIdle: 6,
      serversBusy: 4,
      serversLoggingIn: 1,
      longestWaitMs: 1_500,
    });
  });
});

describe('the programs of a proxy', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'leasehold-programs-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });
  const program = (name: string, says: string) =>
    writeFileSync(join(folder, name), `#!/bin/sh\necho '${says}'\n`, { mode: 0o755 });

  it('are taken from the search path first, with their versions', async () => {
    program('haproxy', 'HAProxy version 2.8.3-1 2025/01/01 - https://haproxy.org/');
    program('pgbouncer', 'PgBouncer 1.22.1');
    expect(await findProxyPrograms(folder)).toEqual({
      kind: 'found',
      haproxy: { path: join(folder, 'haproxy'), version: '2.8.3' },
      pgbouncer: { path: join(folder, 'pgbouncer'), version: '1.22.1' },
    });
  });

  it('are refused when too old, with the version that would do and the package that has it', async () => {
    program('haproxy', 'HA-Proxy version 2.2.9-2 2021/01/01 - https://haproxy.org/');
    expect(await findProxyPrograms(folder)).toMatchObject({
      kind: 'too-old',
      program: 'haproxy',
      debianPackage: 'haproxy',
      detail: expect.stringContaining('2.5'),
    });
  });

  it('are told apart from something else of that name', async () => {
    program('haproxy', 'hello');
    expect(await findProxyPrograms(folder)).toMatchObject({ kind: 'missing', program: 'haproxy' });
  });

  it('are missed by the name of the Debian package', async () => {
    expect(await findProxyPrograms(folder, [])).toMatchObject({ kind: 'missing', debianPackage: 'haproxy' });
  });
});
