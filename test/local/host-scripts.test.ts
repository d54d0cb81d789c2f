/**
 * The scripts of a host in bash, each really run: how systemd stops the agent, how a version is changed and put back, how an init script is
 * run once, and that the guard lives through a shutdown's SIGTERM. systemctl and the agent are small programs of the test's own.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type InstanceMetadata, startInstanceMetadata } from '../support/instance-metadata.ts';
import { type SignedBucket, startSignedBucket } from '../support/signed-bucket.ts';

const checkout = join(dirname(fileURLToPath(import.meta.url)), '../..');
const host = join(checkout, 'host');
let folder: string;
let metadata: InstanceMetadata;
let bucket: SignedBucket;
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-scripts-'));
  metadata = await startInstanceMetadata({});
  bucket = await startSignedBucket('eu-west-1');
  for (const name of ['bin', 'etc', 'units', 'opt', 'var/state'])
    mkdirSync(join(folder, name), { recursive: true });
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await metadata.close();
  await bucket.close();
  rmSync(folder, { recursive: true, force: true });
});

function program(path: string, lines: readonly string[]): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, ['#!/bin/bash', ...lines, ''].join('\n'), { mode: 0o755 });
}

function run(file: string, words: readonly string[]): Promise<{ code: number; output: string }> {
  const env = {
    PATH: `${join(folder, 'bin')}:${process.env['PATH']}`,
    LEASEHOLD_OPT: join(folder, 'opt'),
    LEASEHOLD_ETC: join(folder, 'etc'),
    LEASEHOLD_UNITS: join(folder, 'units'),
    LEASEHOLD_FOLDER: join(folder, 'var'),
    LEASEHOLD_UPGRADE_PATIENCE_S: '3',
    LEASEHOLD_UPGRADE_PAUSE_S: '0.05',
    LEASEHOLD_INIT_PAUSE_S: '0.05',
    LEASEHOLD_BOOT_PAUSE_S: '0.05',
    AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url,
    AWS_ENDPOINT_URL_S3: bucket.url,
  };
  return new Promise((resolve) => {
    execFile(file, [...words], { env, timeout: 40_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: `${stdout}${stderr}` }),
    );
  });
}

const file = (...parts: string[]) => readFileSync(join(folder, ...parts), 'utf8');

describe('the end of the agent by systemd', () => {
  test.each([
    ['running', 'TERM'],
    ['degraded', 'TERM'],
    ['stopping', 'USR2'],
  ])('while the system is %s the agent gets SIG%s, and is waited for', async (state, signal) => {
    program(join(folder, 'bin', 'systemctl'), [`[[ $1 == is-system-running ]] && echo ${state}`]);
    const noted = join(folder, 'signal');
    const trap = (name: string) =>
      `trap 'echo ${name} >${noted}; sleep 0.3; echo ended >>${noted}; exit' ${name};`;
    const agent = spawn('bash', [
      '-c',
      `${trap('TERM')} ${trap('USR2')} echo up; while :; do sleep 0.05; done`,
    ]);
    children.push(agent);
    await new Promise((resolve) => agent.stdout.once('data', resolve));
    const { code } = await run(join(host, 'stop-agent.sh'), [`${agent.pid}`]);
    expect(code).toBe(0);
    expect(readFileSync(noted, 'utf8')).toBe(`${signal}\nended\n`);
  });

  test('an agent that has ended by itself needs nothing', async () => {
    expect((await run(join(host, 'stop-agent.sh'), [''])).code).toBe(0);
    expect((await run(join(host, 'stop-agent.sh'), ['-1'])).code).toBe(0);
  });
});

describe('another version', () => {
  /** A version that says `well` or not when it is asked whether it serves, and takes its configuration or not. */
  async function version(
    name: string,
    behaviour: { serves: boolean; takesConfig?: boolean; spoilt?: boolean },
  ) {
    const sources = join(folder, 'sources', name);
    const { serves, takesConfig = true, spoilt = false } = behaviour;
    program(join(sources, 'bin/leasehold-agent'), [
      `case $1 in serving) ${serves ? 'echo standby' : 'exit 1'} ;; check-config) ${takesConfig ? ':' : 'exit 2'} ;; esac`,
    ]);
    for (const script of ['upgrade.sh', 'boot.py'])
      program(join(sources, 'bin', script), [readFileSync(join(host, script), 'utf8')]);
    writeFileSync(join(sources, 'bin/boot.py'), readFileSync(join(host, 'boot.py')));
    mkdirSync(join(sources, 'systemd'), { recursive: true });
    writeFileSync(join(sources, 'systemd/leasehold-agent.service'), `unit of ${name}\n`);
    const sums = createHash('sha256')
      .update(readFileSync(join(sources, 'bin/leasehold-agent')))
      .digest('hex');
    writeFileSync(join(sources, 'SHA256SUMS'), `${spoilt ? '0'.repeat(64) : sums}  bin/leasehold-agent\n`);
    writeFileSync(join(sources, 'VERSION'), `${name}\n`);
    const archive = join(folder, `${name}.tar.gz`);
    await run('tar', ['-czf', archive, '-C', sources, '.']);
    const bytes = readFileSync(archive);
    bucket.objects.set(`/artifacts/${name}.tar.gz`, bytes);
    return { sources, sha256: createHash('sha256').update(bytes).digest('hex') };
  }

  async function upgrade(old: { serves: boolean }, fresh: Parameters<typeof version>[1]) {
    const { sources } = await version('1.0', old);
    await run('cp', ['-a', sources, join(folder, 'opt', '1.0')]);
    symlinkSync(join(folder, 'opt', '1.0'), join(folder, 'opt', 'current'));
    writeFileSync(
      join(folder, 'etc', 'parameters'),
      parameters({ region: 'eu-west-1', 'artifact.bucket': 'artifacts' }),
    );
    program(join(folder, 'bin', 'systemctl'), [`echo "$*" >>${join(folder, 'systemctl')}`]);
    const { sha256 } = await version('2.0', fresh);
    const words = ['--key', '2.0.tar.gz', '--sha256', sha256];
    return { ...(await run(join(folder, 'opt/1.0/bin/upgrade.sh'), words)), words };
  }

  const parameters = (values: Readonly<Record<string, string>>) =>
    Object.entries(values)
      .map(([name, value]) => `${name} ${Buffer.from(value).toString('base64')}\n`)
      .join('');
  const current = () => basename(readlinkSync(join(folder, 'opt', 'current')));
  const restarts = () =>
    (existsSync(join(folder, 'systemctl')) ? file('systemctl').match(/^restart/gm) : null)?.length ?? 0;

  test('one that serves stays, with its unit, and is not brought a second time', async () => {
    const { code, output, words } = await upgrade({ serves: true }, { serves: true });
    expect(output).toContain('2.0 runs');
    expect(code).toBe(0);
    expect(current()).toBe('2.0');
    expect(file('units', 'leasehold-agent.service')).toBe('unit of 2.0\n');
    expect(restarts()).toBe(1);
    const again = await run(join(folder, 'opt/2.0/bin/upgrade.sh'), words);
    expect(again.output).toContain('2.0 runs already');
    expect(restarts()).toBe(1);
  });

  test('one that does not serve is replaced by the old one, with its unit, and the command fails', async () => {
    const { code, output } = await upgrade({ serves: true }, { serves: false });
    expect(code).toBe(1);
    expect(output).toContain('the upgrade was rolled back');
    expect(current()).toBe('1.0');
    expect(file('units', 'leasehold-agent.service')).toBe('unit of 1.0\n');
    expect(restarts()).toBe(2);
  });

  test.each([
    ['a host that does not serve now', { serves: false }, { serves: true }, 'mend it first'],
    [
      'a version that refuses the configuration',
      { serves: true },
      { serves: true, takesConfig: false },
      'does not take',
    ],
    [
      'a version that is not what its sums say',
      { serves: true },
      { serves: true, spoilt: true },
      'SHA256SUMS',
    ],
  ])('with %s nothing is changed', async (_what, old, fresh, said) => {
    const { code, output } = await upgrade(old, fresh);
    expect(code).toBe(1);
    expect(output).toContain(said);
    expect(current()).toBe('1.0');
    expect(restarts()).toBe(0);
  });

  test('a host that the new version does not serve on goes back to the one that it has kept', async () => {
    const { code } = await upgrade({ serves: true }, { serves: true });
    expect(code).toBe(0);
    program(join(folder, 'opt/2.0/bin/leasehold-agent'), ['[[ $1 == serving ]] && exit 1', 'exit 0']);
    const marks = ['1'.repeat(64), '3'.repeat(64)];
    writeFileSync(join(folder, 'opt/1.0/.sha256'), `${marks[0]}\n`);
    const back = (sum = '') =>
      run(join(folder, 'opt/2.0/bin/upgrade.sh'), ['--key', '2.0.tar.gz', '--sha256', sum]);
    const unknown = await back(marks[1]);
    expect(unknown.output).toContain('mend it first');
    expect(current()).toBe('2.0');
    const kept = await back(marks[0]);
    expect(kept.output).toContain('1.0 runs');
    expect(kept.code).toBe(0);
    expect(current()).toBe('1.0');
  });

  test('a second one waits for the first, and finds that it has nothing to do', async () => {
    const { sources } = await version('1.0', { serves: true });
    await run('cp', ['-a', sources, join(folder, 'opt', '1.0')]);
    symlinkSync(join(folder, 'opt', '1.0'), join(folder, 'opt', 'current'));
    writeFileSync(
      join(folder, 'etc', 'parameters'),
      parameters({ region: 'eu-west-1', 'artifact.bucket': 'artifacts' }),
    );
    program(join(folder, 'bin', 'systemctl'), [`echo "$*" >>${join(folder, 'systemctl')}`]);
    const { sha256 } = await version('2.0', { serves: true });
    const words = ['--key', '2.0.tar.gz', '--sha256', sha256];
    const both = await Promise.all([0, 1].map(() => run(join(folder, 'opt/1.0/bin/upgrade.sh'), words)));
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(restarts()).toBe(1);
  });

  test('arguments that are none are refused', async () => {
    const refused = async (...words: string[]) => (await run(join(host, 'upgrade.sh'), words)).code;
    expect(await refused()).toBe(2);
    expect(await refused('--key', 'x', '--sha256', 'abc')).toBe(2);
    expect(await refused('--key', 'x', '--sha256', '0'.repeat(64), 'more')).toBe(2);
  });
});

test.each([
  ['primary', 'init-primary'],
  ['standby', 'init-standby'],
])('the init script of a %s runs once, after a failure again', async (role, script) => {
  const bin = join(folder, 'opt/1.0/bin');
  program(join(bin, 'run-init-script.sh'), [readFileSync(join(host, 'run-init-script.sh'), 'utf8')]);
  // Not yet serving at the first two questions.
  const asked = join(folder, 'asked');
  program(join(bin, 'leasehold-agent'), [`echo >>${asked}`, `(($(wc -l <${asked}) > 2)) && echo ${role}`]);
  const ran = join(folder, 'ran');
  program(join(folder, 'etc', script), [`echo once >>${ran}`, `(($(wc -l <${ran}) > 1))`]);
  const first = await run(join(bin, 'run-init-script.sh'), []);
  expect(first.code).toBe(1);
  expect(first.output).toContain(`${script} failed with exit code 1`);
  expect((await run(join(bin, 'run-init-script.sh'), [])).code).toBe(0);
  expect((await run(join(bin, 'run-init-script.sh'), [])).code).toBe(0);
  expect(readFileSync(ran, 'utf8')).toBe('once\nonce\n');
  expect(file('var', 'state', 'init-script-done')).toBe(`${role}\n`);
});

test('the command takes the options of an action in any order, and refuses others', async () => {
  const root = join(folder, 'opt/1.0');
  program(join(root, 'bin/leasehold-agent'), [readFileSync(join(host, 'leasehold-agent'), 'utf8')]);
  program(join(root, 'agent/run-action.sh'), ['echo "$@"']);
  program(join(root, 'node/bin/node'), ['echo "$@"']);
  writeFileSync(join(root, 'agent/node-options'), '--one=1\n--two\n');
  const said = async (...words: string[]) =>
    (await run(join(root, 'bin/leasehold-agent'), words)).output.trim();
  const control = join(folder, 'var/run/control');
  expect(await said('run-action', '--action', 'pause@p1#1', '--operation', 'op')).toBe(
    `${control} op pause@p1#1`,
  );
  expect(await said('run-action', '--action', 'x')).toContain('usage');
  expect(await said('run-action', '--operation', 'op', '--action', 'x', '--shell')).toContain('usage');
  expect(await said('fence', '--epoch', '7')).toBe(
    `--one=1 --two ${join(root, 'agent/main.mjs')} fence --config /etc/leasehold/host.json --epoch 7`,
  );
});

test('the guard lives through the SIGTERM of a shutdown, and ends when it is told to', async () => {
  const fifo = join(folder, 'guard.fifo');
  await run('mkfifo', [fifo]);
  const guard = spawn('bash', [join(checkout, 'agent/guard.sh'), fifo, join(folder, 'var'), '/bin/none']);
  children.push(guard);
  const ended = new Promise((resolve) => guard.once('exit', resolve));
  while (!existsSync(`${fifo}.pid`)) await new Promise((resolve) => setTimeout(resolve, 10));
  guard.kill('SIGTERM');
  const living = new Promise((resolve) => setTimeout(() => resolve('lives'), 300));
  expect(await Promise.race([ended, living])).toBe('lives');
  writeFileSync(fifo, 'quit\n');
  expect(await ended).toBe(0);
});
