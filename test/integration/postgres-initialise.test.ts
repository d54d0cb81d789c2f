// A new cluster: what it is when it is there, and that it is not there at all before it is complete.

import { spawn } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findInstallation } from '../../adapters/postgres/find-installation.ts';
import { otherRole } from '../../core/model/cluster-secrets.ts';
import { systemIdentifierOf } from '../../core/model/system-identifier.ts';
import { PostgresSandbox } from './support/postgres-sandbox.ts';

let sandbox: PostgresSandbox;
beforeEach(async () => {
  sandbox = await PostgresSandbox.create();
});
afterEach(() => sandbox.dispose());

test('a new cluster has checksums, UTF-8, SCRAM passwords and the system identifier that was announced', async () => {
  const node = await sandbox.node('node-1');
  const made = await node.postgres.initialise();
  expect(made).toMatchObject({ kind: 'initialised' });
  const control = await node.postgres.controlFile();
  expect(control).toMatchObject({ kind: 'control-data', state: 'shut-down', dataChecksums: true });
  if (made.kind !== 'initialised' || control.kind !== 'control-data') return;
  expect(control.systemIdentifier).toBe(made.systemIdentifier);

  await sandbox.startNode(node, 'primary');
  expect(await sandbox.value(node, 'show server_encoding')).toBe('UTF8');
  expect(await sandbox.value(node, 'show cluster_name')).toBe('node-1');
  expect(
    await sandbox.value(node, "select count(*)::int from pg_authid where rolpassword like 'SCRAM-SHA-256$%'"),
  ).toBe(2);
  expect(await sandbox.value(node, "select rolsuper from pg_roles where rolname = 'replicator'")).toBe(false);
  const { systemIdentifier } = control;
  expect(await sandbox.value(node, 'select system_identifier::text from pg_control_system()')).toBe(
    `${systemIdentifier}`,
  );
});

test('a wrong password is refused over TCP, the right one is not', async () => {
  const node = await sandbox.primary('node-1');
  const { default: pg } = await import('pg');
  const login = (user: string, password: string, database: string) => {
    const client = new pg.Client({ host: '127.0.0.1', port: node.port, user, password, database });
    client.on('error', () => undefined);
    return client.connect().finally(() => client.end());
  };
  await expect(login('postgres', 'wrong', 'postgres')).rejects.toMatchObject({ code: '28P01' });
  await login('postgres', node.postgres.host.superuser.password, 'postgres');
});

test('the other role of each login gets in with the same rights, replicates, and acts as the first; a former password does not', async () => {
  const node = await sandbox.primary('node-1');
  const { postgres } = node;
  const [superuser, replication] = (['superuser', 'replication'] as const).map((kind) => ({
    kind,
    login: { name: otherRole(postgres.host[kind].name), password: `next-of-${kind}` },
  }));
  if (superuser === undefined || replication === undefined) throw new Error('no logins');
  for (const { kind, login } of [superuser, replication]) {
    expect(await postgres.takesLogin(kind, login)).toBe(false);
    expect(await postgres.setLogin(kind, login)).toBe(null);
    expect(await postgres.setLogin(kind, login)).toBe(null);
    expect(await postgres.takesLogin(kind, login)).toBe(true);
    expect(await postgres.takesLogin(kind, { ...login, password: 'former' })).toBe(false);
  }
  // What it is for, not any login.
  expect(await postgres.takesLogin('superuser', replication.login)).toBe(false);
  const may = `select has_function_privilege('${replication.login.name}', 'pg_read_binary_file(text)', 'execute')`;
  expect(await sandbox.value(node, may)).toBe(true);
  const { default: pg } = await import('pg');
  const connect = async (login: { name: string; password: string }, more: object, sql: string) => {
    const at = { host: '127.0.0.1', port: node.port, user: login.name, password: login.password };
    const client = new pg.Client({ ...at, database: 'postgres', ...more } as never);
    await client.connect();
    return await client.query(sql).finally(() => client.end());
  };
  const { rows } = await connect(superuser.login, {}, 'select current_user, session_user');
  expect(rows).toEqual([{ current_user: 'postgres', session_user: 'postgres_alt' }]);
  // By the rules of pg_hba.conf for replication, which name the first role alone.
  await connect(replication.login, { replication: 'true' }, 'IDENTIFY_SYSTEM');
  expect(
    await sandbox.value(node, 'select count(*)::int from pg_hba_file_rules where error is not null'),
  ).toBe(0);
  // As receivers come, not as anybody else does: what takes the login by the socket proves nothing.
  const path = join(postgres.host.dataDir, 'pg_hba.conf');
  const rules = readFileSync(path, 'utf8');
  expect(await postgres.admitMembers()).toBe(null);
  writeFileSync(path, rules.replaceAll('+"replicator"', '"replicator"').replace(/^#.*\n/, ''));
  await sandbox.value(node, 'select pg_reload_conf()');
  await expect.poll(() => postgres.takesLogin('replication', replication.login)).toBe(false);
  expect(await postgres.admitMembers()).toBe('pg_hba.conf is not as Leasehold wrote it');
  writeFileSync(path, `${rules}nonsense\n`);
  expect(await postgres.admitMembers()).toMatch(/^pg_hba.conf, line \d+: /);
  writeFileSync(path, rules);
  await sandbox.value(node, "create role other_alt login password 'app'");
  await sandbox.value(node, 'create role other login');
  const taken = { name: 'other_alt', password: 'next' };
  expect(await postgres.setLogin('superuser', taken)).toEqual({ kind: 'somebody-elses', role: 'other_alt' });
  expect(await sandbox.value(node, "select rolsuper from pg_roles where rolname = 'other_alt'")).toBe(false);
});

test('an initdb killed half way leaves nothing that looks like a data directory, and the next one succeeds', async () => {
  const node = await sandbox.node('node-1');
  const { host } = node.postgres;
  // What an attempt that was killed half way leaves: the temporary folder with a half-made cluster.
  const half = join(`${host.dataDir}.initialising-dead`, 'data');
  mkdirSync(half, { recursive: true });
  if (host.runAs) for (const path of [dirname(half), half]) chownSync(path, host.runAs.uid, host.runAs.gid);
  const initdb = spawn(join(host.binDir, 'initdb'), ['-D', half, '-U', 'postgres', '-A', 'reject'], {
    stdio: 'ignore',
    cwd: '/',
    ...(host.runAs ?? {}),
  });
  while (!existsSync(join(half, 'PG_VERSION'))) await new Promise((resolve) => setTimeout(resolve, 1));
  initdb.kill('SIGKILL');
  await new Promise((resolve) => initdb.once('close', resolve));

  expect(existsSync(host.dataDir)).toBe(false);
  expect(await node.postgres.start({ as: 'primary' })).toMatchObject({
    kind: 'refused',
    reason: 'no-data-directory',
  });
  expect(await node.postgres.initialise()).toMatchObject({ kind: 'initialised' });
  const siblings = readdirSync(dirname(host.dataDir)).filter((name) => name.startsWith('data'));
  expect(siblings.sort()).toEqual(['data', 'data.pgpass']);
});

test('a failing initdb names its step and leaves nothing', async () => {
  const node = await sandbox.node('node-1', { superuser: { name: 'pg_forbidden', password: 'x' } });
  const made = await node.postgres.initialise();
  expect(made).toMatchObject({ kind: 'failed', step: 'initdb', reason: expect.stringContaining('pg_') });
  expect(readdirSync(dirname(node.postgres.host.dataDir)).filter((name) => name.startsWith('data'))).toEqual(
    [],
  );
});

test('what is there is never touched', async () => {
  const node = await sandbox.node('node-1');
  mkdirSync(node.postgres.host.dataDir);
  writeFileSync(join(node.postgres.host.dataDir, 'precious'), 'data');
  expect(await node.postgres.initialise()).toEqual({ kind: 'exists' });
  expect(readFileSync(join(node.postgres.host.dataDir, 'precious'), 'utf8')).toBe('data');
});

test('no password shows in a command line, and the password file is for the server alone', async () => {
  const primary = await sandbox.primary('node-1');
  const standby = await sandbox.standby('node-2', primary);
  const { superuser, replication } = primary.postgres.host;
  const argv = [...primary.commands, ...standby.commands].flatMap((command) => command.argv).join('\n');
  expect(argv).toContain('pg_basebackup');
  expect(argv).not.toContain(superuser.password);
  expect(argv).not.toContain(replication.password);
  expect(statSync(`${standby.postgres.host.dataDir}.pgpass`).mode & 0o777).toBe(0o600);
  expect(await sandbox.value(standby, 'show primary_conninfo')).not.toContain(replication.password);
});

test('a folder without all programs is named with what it lacks', async () => {
  const folder = join(sandbox.folder, 'bin');
  mkdirSync(folder);
  writeFileSync(join(folder, 'pg_ctl'), '#!/bin/sh\n', { mode: 0o755 });
  expect(await findInstallation(folder)).toMatchObject({
    kind: 'missing',
    incomplete: [{ binDir: folder, missing: expect.arrayContaining(['postgres', 'initdb', 'pg_rewind']) }],
  });
});

test('data of elsewhere is made ready to be adopted, twice if need be, and not while its recovery is under way', async () => {
  const node = await sandbox.node('node-1');
  const made = await node.postgres.initialise();
  if (made.kind !== 'initialised') throw new Error(made.kind);
  const { systemIdentifier: system } = made;
  const { host } = node.postgres;
  const at = (name: string) => join(host.dataDir, name);
  const original = readFileSync(at('pg_hba.conf'), 'utf8');
  writeFileSync(at('pg_hba.conf'), `# of its former owner\n${original}`);
  const other = systemIdentifierOf(BigInt(system) + 1n);
  expect(await node.postgres.adopt(other)).toMatchObject({ kind: 'refused' });
  for (const name of ['standby.signal', 'recovery.signal', 'backup_label']) {
    writeFileSync(at(name), '');
    expect(await node.postgres.adopt(system)).toMatchObject({
      kind: 'refused',
      reason: expect.stringContaining(name),
    });
    rmSync(at(name));
  }
  expect(existsSync(at('pg_hba.conf.before-adoption'))).toBe(false);
  for (const _time of [1, 2])
    expect(await node.postgres.adopt(system)).toEqual({ kind: 'adopted', timeline: 1 });
  expect(readFileSync(at('pg_hba.conf.before-adoption'), 'utf8')).toContain('of its former owner');
  expect(readFileSync(at('pg_hba.conf'), 'utf8')).not.toContain('of its former owner');
});
