// Configuration texts, lock files and record ends: the parts of the PostgreSQL adapter that need no server.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  connectionInfo,
  identityText,
  isSlotName,
  refusedSettings,
  standbyText,
  writeIdentity,
} from '../../adapters/postgres/configuration.ts';
import { createPostgresHost, type PostgresHostOptions } from '../../adapters/postgres/host.ts';
import { roleStatements } from '../../adapters/postgres/initialise.ts';
import { parseLockFile } from '../../adapters/postgres/processes.ts';
import { recordEnd } from '../../adapters/postgres/wal.ts';
import { formatLsn, parseLsn } from '../../core/model/lsn.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function options(overrides: Partial<PostgresHostOptions> = {}): PostgresHostOptions {
  return {
    nodeName: 'node-1',
    binDir: '/usr/lib/postgresql/15/bin',
    dataDir: join(folder, 'data'),
    port: 5432,
    listenAddresses: '10.0.0.1',
    socketDir: folder,
    runAs: null,
    superuser: { name: 'postgres', password: 'one' },
    replication: { name: 'replicator', password: 'two' },
    logFile: join(folder, 'log'),
    ...overrides,
  };
}

const lsn = (text: string) => parseLsn(text) ?? expect.fail(`not an LSN: ${text}`);

/** The value that counts: the last one, as PostgreSQL reads a file. */
function settingIn(text: string, name: string): string | undefined {
  const matches = [...text.matchAll(new RegExp(`^${name} = '(.*)'$`, 'gm'))];
  return matches.at(-1)?.[1]?.replaceAll("''", "'");
}

test('owned settings come last, so that an extra one can never override them', () => {
  const host = createPostgresHost(
    options({ settings: { port: '1', wal_keep_size: '1GB', application: "it's" } }),
  );
  const text = identityText(host);
  expect(settingIn(text, 'port')).toBe('5432');
  expect(settingIn(text, 'wal_keep_size')).toBe('1GB');
  expect(settingIn(text, 'application')).toBe("it's");
  expect(settingIn(text, 'wal_log_hints')).toBe('on');
  expect(settingIn(text, 'wal_level')).toBe('replica');
});

test('owned settings, impossible names and values of several lines are refused by name', () => {
  expect(refusedSettings({ work_mem: '4MB', 'my_extension.key': 'x' })).toEqual([]);
  expect(refusedSettings({ PORT: '1' })).toEqual(['PORT: Leasehold sets it']);
  expect(refusedSettings({ synchronous_standby_names: '*' })).toHaveLength(1);
  expect(refusedSettings({ 'a b': 'x' })).toHaveLength(1);
  expect(refusedSettings({ work_mem: "4MB'\nport = '1" })).toHaveLength(1);
});

test('an upstream names this node, its slot and a password file, never a password', () => {
  const host = createPostgresHost(options());
  const text = standbyText(host, { host: '10.0.0.2', port: 5433, slot: 'node_1' });
  const conninfo = settingIn(text, 'primary_conninfo') ?? '';
  expect(conninfo).toContain('host=10.0.0.2 port=5433 user=replicator');
  expect(conninfo).toContain('application_name=node-1');
  expect(conninfo).toContain(`passfile=${host.dataDir}.pgpass`);
  expect(text).not.toContain('two');
  expect(settingIn(text, 'primary_slot_name')).toBe('node_1');
  expect(settingIn(standbyText(host, null), 'primary_conninfo')).toBe('');
  expect(settingIn(text, 'recovery_target_timeline')).toBe('latest');
});

test('what libpq would read as something else is quoted', () => {
  const host = createPostgresHost(options({ replication: { name: "o'brien \\ co", password: 'x' } }));
  expect(connectionInfo(host, { host: '::1', port: 1 }, 'rewind')).toContain("user='o\\'brien \\\\ co'");
  expect(
    roleStatements(createPostgresHost(options({ replication: { name: 'a"b', password: "c'd" } }))),
  ).toEqual(
    expect.arrayContaining([
      expect.stringContaining(`ALTER ROLE "a""b" WITH LOGIN REPLICATION PASSWORD 'c''d'`),
    ]),
  );
});

test('slot names are what PostgreSQL accepts', () => {
  for (const name of ['a', 'node_1', 'x'.repeat(63)]) expect(isSlotName(name)).toBe(true);
  for (const name of ['', 'Node', 'node-1', "a'b", 'x'.repeat(64)]) expect(isSlotName(name)).toBe(false);
});

test.each([
  [{ dataDir: 'data' }, /dataDir/],
  [{ port: 0 }, /port/],
  [{ port: 65_536 }, /port/],
  [{ socketDir: `/${'x'.repeat(100)}` }, /socketDir/],
  [{ nodeName: 'a\nb' }, /nodeName/],
])('a host that could not work is refused, naming the field: %o', (overrides, message) => {
  expect(() => createPostgresHost(options(overrides))).toThrow(message);
});

test('a data directory behind a symbolic link is known by the name that /proc shows', () => {
  const link = join(folder, 'link');
  symlinkSync(folder, link);
  const host = createPostgresHost(options({ dataDir: join(link, 'data') }));
  expect(host.realDataDir).toBe(createPostgresHost(options()).realDataDir);
});

test('the lock file is read line by line, whole, half written or of a single-user server', () => {
  const text = '4711\n/data\n1700000000\n5432\n/run\n127.0.0.1\n  5432001    32768\nready   \n';
  expect(parseLockFile(text)).toEqual({ pid: 4711, port: 5432, shmId: 32_768, status: 'ready' });
  expect(parseLockFile('4711\n/data\n1700000000\n5432\n')).toEqual({
    pid: 4711,
    port: 5432,
    shmId: null,
    status: '',
  });
  expect(parseLockFile('-4711\n/data\n')).toMatchObject({ pid: -4711 });
  for (const broken of ['', '\n', 'x\n', '0\n']) expect(parseLockFile(broken)).toBeNull();
});

// Start, total length and end of records, as pg_waldump 15 printed them one after another for a log with 16 MiB segments.
test.each([
  // Within a page, padded to 8 bytes.
  ['0/3000028', 50, '0/3000060'],
  ['0/3000060', 114, '0/30000D8'],
  // Over one page header of 24 bytes: 8192 - 32 bytes fit before it.
  ['0/3001FE0', 40, '0/3002020'],
  // Over the header of 40 bytes of a new segment.
  ['0/3FFFFE0', 40, '0/4000030'],
  // Exactly to the end of a page: the header of the next page is not part of it.
  ['0/3001FE0', 32, '0/3002000'],
  // Over several pages.
  ['0/3000028', 30_000, '0/30075A0'],
])('a record at %s of %i bytes ends at %s', (start, bytes, end) => {
  expect(formatLsn(recordEnd(lsn(start), bytes, 16 << 20))).toBe(end);
});

const tlsFiles = { certificate: '/t/certificate.pem', key: '/t/key.pem', authorities: "/t/it's/ca.pem" };

test('without TLS nothing is said of it, and the cluster may have its own', () => {
  const host = createPostgresHost(options({ settings: { ssl: 'on' } }));
  expect(settingIn(identityText(host), 'ssl')).toBe('on');
  expect(identityText(host)).not.toContain('ssl_cert_file');
  expect(standbyText(host, { host: '10.0.0.2', port: 5432, slot: null })).not.toContain('sslmode');
});

test('with TLS the server has it, and every way to another node verifies who is there', () => {
  const host = createPostgresHost(options({ settings: { ssl: 'off' }, tls: () => tlsFiles }));
  const text = identityText(host);
  expect(settingIn(text, 'ssl')).toBe('on');
  expect(settingIn(text, 'ssl_cert_file')).toBe('/t/certificate.pem');
  expect(settingIn(text, 'ssl_key_file')).toBe('/t/key.pem');
  expect(settingIn(text, 'ssl_min_protocol_version')).toBe('TLSv1.2');
  for (const purpose of ['replication', 'rewind'] as const)
    expect(connectionInfo(host, { host: '10.0.0.2', port: 5432 }, purpose)).toContain(
      "sslmode=verify-ca sslrootcert='/t/it\\'s/ca.pem'",
    );
  expect(standbyText(host, { host: '10.0.0.2', port: 5432, slot: null })).toContain('sslmode=verify-ca');
});

test('with TLS nobody comes in over TCP without, and ALTER SYSTEM cannot turn it off', async () => {
  const dataDir = join(folder, 'secure');
  mkdirSync(dataDir);
  writeFileSync(
    join(dataDir, 'postgresql.auto.conf'),
    "work_mem = '8MB'\nSSL = 'off'\nssl_cert_file = '/x'\n",
  );
  const rules = async (tls: typeof tlsFiles | null) => {
    await writeIdentity(createPostgresHost(options({ dataDir, tls: () => tls })));
    const lines = readFileSync(join(dataDir, 'pg_hba.conf'), 'utf8').split('\n');
    return lines.filter((line) => !line.startsWith('#') && line !== '');
  };
  const plain = await rules(null);
  expect(plain.filter((rule) => rule.startsWith('host '))).toHaveLength(3);
  expect(readFileSync(join(dataDir, 'postgresql.auto.conf'), 'utf8')).toContain("SSL = 'off'");
  const secure = await rules(tlsFiles);
  expect(secure).toEqual(plain.map((rule) => rule.replace(/^host /, 'hostssl ')));
  expect(secure.every((rule) => /^(local|hostssl) /.test(rule))).toBe(true);
  expect(readFileSync(join(dataDir, 'postgresql.auto.conf'), 'utf8')).toBe("work_mem = '8MB'\n");
});
