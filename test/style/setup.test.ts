/**
 * The set-up as a stranger meets it: what it says when programs are missing, that two at once install once, and that a signal ends
 * the job and not only the script in front of it. npm is played by a script that notes each call; the rest is real.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { REQUIRED_PROGRAMS } from '../../adapters/postgres/find-installation.ts';
import { processStart } from '../../bin/lock.js';
import { complaintAboutNode } from '../../bin/prepare.js';
import { missingPackages, policyText, postgresPrograms } from '../../bin/servers.js';

const bin = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'bin');
const started: ChildProcess[] = [];
let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-setup-'));
});

afterEach(async () => {
  for (const child of started.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  rmSync(folder, { recursive: true });
});

/** Runs a few lines of JavaScript that may import from bin/, in a process of their own. */
function runScript(
  lines: string,
  env: NodeJS.ProcessEnv = process.env,
): ChildProcess & { said: () => string } {
  const child = spawn(process.execPath, ['--input-type=module', '-e', lines], { env, cwd: folder });
  started.push(child);
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  return Object.assign(child, { said: () => said });
}

async function exitCode(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
  return child.exitCode;
}

function writeProgram(name: string, script: string): void {
  mkdirSync(join(folder, 'programs'), { recursive: true });
  writeFileSync(join(folder, 'programs', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

const from = (file: string) => JSON.stringify(pathToFileURL(join(bin, file)).href);

describe('the servers', () => {
  const writePostgres = (version: string, programs: readonly string[] = postgresPrograms) => {
    for (const name of programs) writeProgram(name, `echo "postgres (PostgreSQL) ${version} (Debian)"`);
  };
  const missing = () => missingPackages([join(folder, 'programs')]);

  test('are named with the command that installs them, at once and before npm runs', async () => {
    const begun = performance.now();
    const child = runScript(
      `import { prepare } from ${from('prepare.js')};
       process.exitCode = await prepare({ root: ${JSON.stringify(folder)}, servers: true, folders: [] });`,
      { PATH: '' },
    );
    expect(await exitCode(child)).toBe(1);
    expect(child.said()).toContain(
      'apt-get install -y --no-install-recommends postgresql haproxy pgbouncer\n',
    );
    expect(performance.now() - begun).toBeLessThan(5_000);
    expect(existsSync(join(folder, 'node_modules'))).toBe(false);
  });

  test('are complete when all programs of a supported version are there', async () => {
    writePostgres('15.18');
    writeProgram('haproxy', 'exit 0');
    writeProgram('pgbouncer', 'exit 0');
    expect(await missing()).toEqual([]);
  });

  test.each(['12.22', '19.0'])('do not count PostgreSQL %s', async (version) => {
    writePostgres(version);
    expect(await missing()).toEqual(['postgresql', 'haproxy', 'pgbouncer']);
  });

  test('do not count a PostgreSQL without pg_rewind', async () => {
    writePostgres(
      '15.18',
      postgresPrograms.filter((name) => name !== 'pg_rewind'),
    );
    expect(await missing()).toContain('postgresql');
  });

  test('are the programs that the PostgreSQL adapter asks for', () => {
    expect(postgresPrograms.toSorted()).toEqual([...REQUIRED_PROGRAMS].toSorted());
  });

  test('may not start while they are installed, and may again once the installer is gone', async () => {
    const installer = runScript('setInterval(() => undefined, 1000);');
    const pid = installer.pid ?? 0;
    const policy = policyText(pid);
    const ask = () => spawnSync('sh', ['-c', policy]).status;
    expect(ask()).toBe(101);
    installer.kill('SIGKILL');
    await exitCode(installer);
    expect(ask()).toBe(0);
  });
});

test.each([
  ['18.20.1', false],
  ['19.9.0', false],
  ['20.0.0', true],
  ['24.21.0', true],
])('Node %s is new enough: %s', (version, enough) => {
  expect(complaintAboutNode(version) === undefined).toBe(enough);
});

describe('the packages', () => {
  const setUp = () =>
    runScript(
      `import { ensurePackages } from ${from('packages.js')};
       process.exitCode = await ensurePackages(${JSON.stringify(folder)}, console.log);`,
      { ...process.env, PATH: `${join(folder, 'programs')}:${process.env['PATH']}` },
    );
  const writeLock = (version: string) =>
    writeFileSync(
      join(folder, 'package-lock.json'),
      JSON.stringify({ packages: { '': {}, 'node_modules/a': { version } } }),
    );
  const npmCalls = () => readFileSync(join(folder, 'calls'), 'utf8').split('\n').length - 1;

  beforeEach(() => {
    writeLock('1.0.0');
    const install =
      'rm -rf node_modules; sleep 0.3; mkdir -p node_modules/.bin; touch node_modules/.bin/node';
    writeProgram('npm', `echo "$*" >> calls\n${install}`);
  });

  test('are installed once by two set-ups at the same time', async () => {
    const both = [setUp(), setUp()];
    expect(await Promise.all(both.map(exitCode))).toEqual([0, 0]);
    expect(npmCalls()).toBe(1);
  });

  test('are not installed again until the lock file changes', async () => {
    await exitCode(setUp());
    const again = setUp();
    expect(await exitCode(again)).toBe(0);
    expect([again.said(), npmCalls()]).toEqual(['', 1]);
    writeLock('1.0.1');
    await exitCode(setUp());
    expect(npmCalls()).toBe(2);
  });

  test('are taken as they are where npm itself installed what the lock file says', async () => {
    mkdirSync(join(folder, 'node_modules', '.bin'), { recursive: true });
    writeFileSync(join(folder, 'node_modules', '.bin', 'node'), '');
    const installed = join(folder, 'node_modules', '.package-lock.json');
    writeFileSync(installed, JSON.stringify({ packages: { 'node_modules/a': { version: '1.0.0' } } }));
    expect(await exitCode(setUp())).toBe(0);
    expect(existsSync(join(folder, 'calls'))).toBe(false);
    writeLock('1.0.1');
    await exitCode(setUp());
    expect(npmCalls()).toBe(1);
  });

  test('are installed although a set-up died with the lock', async () => {
    const dead = runScript('');
    await exitCode(dead);
    mkdirSync(join(folder, '.leasehold'));
    writeFileSync(join(folder, '.leasehold', 'setup.lock'), `${dead.pid} 1\n`);
    expect(await exitCode(setUp())).toBe(0);
    expect(npmCalls()).toBe(1);
  });

  test('wait for a set-up that lives', async () => {
    mkdirSync(join(folder, '.leasehold'));
    const lock = join(folder, '.leasehold', 'setup.lock');
    writeFileSync(lock, `${process.pid} ${processStart(process.pid)}\n`);
    const waiting = setUp();
    await once(waiting.stdout ?? waiting, 'data');
    expect(waiting.said()).toBe(`Waiting for another set-up (process ${process.pid}).\n`);
    expect(existsSync(join(folder, 'calls'))).toBe(false);
    rmSync(lock);
    expect(await exitCode(waiting)).toBe(0);
    expect(npmCalls()).toBe(1);
  });

  test('that cannot be installed end the set-up with all that npm said', async () => {
    writeProgram('npm', 'echo "the registry is away" >&2; exit 3');
    const child = setUp();
    expect(await exitCode(child)).toBe(3);
    expect(child.said()).toContain('the registry is away\nnpm ci failed with exit code 3.');
  });
});

describe('a signal', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    '%s reaches the job, whose exit code counts',
    async (signal) => {
      const job = `process.on('${signal}', () => process.exit(7)); console.log(process.pid); setTimeout(() => process.exit(1), 20_000);`;
      const script = runScript(
        `import { runChild } from ${from('run-child.js')};
       process.exitCode = (await runChild(process.execPath, ['-e', ${JSON.stringify(job)}])).code;`,
      );
      await once(script.stdout ?? script, 'data');
      const jobPid = Number(script.said());
      script.kill(signal);
      expect(await exitCode(script)).toBe(7);
      expect(processStart(jobPid)).toBeNull();
    },
  );
});

test('an unknown job is answered with the usage', () => {
  const run = spawnSync(process.execPath, [join(bin, 'setup.js'), 'dance'], { encoding: 'utf8' });
  expect(run.status).toBe(2);
  expect(run.stderr).toContain('setup.js start|test');
});
