/** The artifact of a host: the same sources give the same bytes, what is in it is what its sums say, and its command runs by itself. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type WrittenArtifact, writeArtifact } from '../../local/artifact/write-artifact.ts';
import { checkout } from '../../local/runtime/build-artifacts.ts';

let folder: string;
let nodeProgram: string;
let written: WrittenArtifact;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-artifact-'));
  // Small, for what is compressed twice; it hands over to the Node that runs this.
  nodeProgram = join(folder, 'node');
  writeFileSync(nodeProgram, `#!/bin/sh\nexec '${process.execPath}' "$@"\n`, { mode: 0o700 });
  written = await writeArtifact({ checkout, nodeProgram, architecture: 'x64' }, folder);
  mkdirSync(join(folder, 'unpacked'));
  execFileSync('tar', ['-xzf', written.path, '-C', join(folder, 'unpacked')]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const inIt = (name: string) => join(folder, 'unpacked', name);

test('the same sources give the same bytes, whenever and by whomever they are packed', async () => {
  utimesSync(nodeProgram, 1, 1);
  const again = await writeArtifact({ checkout, nodeProgram, architecture: 'again' }, folder);
  expect(again.sha256).toBe(written.sha256);
  expect(createHash('sha256').update(readFileSync(written.path)).digest('hex')).toBe(written.sha256);
});

test('other sources are another version', async () => {
  writeFileSync(join(folder, 'other-node'), 'another Node');
  const other = await writeArtifact(
    { checkout, nodeProgram: join(folder, 'other-node'), architecture: 'other' },
    folder,
  );
  expect(other.version).not.toBe(written.version);
  expect(other.version).toMatch(/^0\.1\.0-[0-9a-f]{12}$/);
});

test('every file is as the sums say, and programs alone are executable', () => {
  execFileSync('sha256sum', ['--quiet', '--check', 'SHA256SUMS'], { cwd: join(folder, 'unpacked') });
  expect(readFileSync(inIt('VERSION'), 'utf8')).toBe(`${written.version}\n`);
  for (const name of ['install.sh', 'bin/leasehold-agent', 'bin/upgrade.sh', 'node/bin/node'])
    expect(statSync(inIt(name)).mode & 0o777, name).toBe(0o755);
  for (const name of ['agent/main.mjs', 'agent/guard.sh', 'systemd/leasehold-agent.service', 'SHA256SUMS'])
    expect(statSync(inIt(name)).mode & 0o777, name).toBe(0o644);
});

test('its command runs the agent that is in it, found through a link', () => {
  execFileSync('ln', ['-s', inIt('bin/leasehold-agent'), join(folder, 'leasehold-agent')]);
  let config = join(folder, 'none.json');
  const run = (...words: string[]) => {
    try {
      const env = { PATH: process.env['PATH'], LEASEHOLD_CONFIG: config };
      return execFileSync(join(folder, 'leasehold-agent'), words, { env, encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      const { status, stderr } = error as { status: number; stderr: string };
      return `${status}: ${stderr}`;
    }
  };
  expect(run('version')).toBe(`${written.version}\n`);
  expect(run('doctor')).toMatch(/^2: leasehold-agent: \S+none\.json: ENOENT/);
  expect(run('nonsense')).toMatch(/^2: /);
  // A disk that does not answer is no wrong configuration, after which systemd would not start the agent again.
  config = '/proc/self/mem';
  expect(run('doctor')).toMatch(/^1: leasehold-agent: EIO/);
});
