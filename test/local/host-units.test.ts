/**
 * The units of a host as systemd's own analyser reads them, and what must stay in them for PostgreSQL to outlive its agent. The programs that
 * they name are put into a root folder of the test's own.
 */
import { execFile } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const host = join(dirname(fileURLToPath(import.meta.url)), '../../host');
const unit = (name: string) => readFileSync(join(host, name), 'utf8');

function analyse(words: readonly string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile('systemd-analyze', [...words], { timeout: 30_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: `${stdout}${stderr}` }),
    );
  });
}

/** The units, copied so that every program they start is one in `folder`. */
function unitsIn(folder: string): string[] {
  return ['leasehold-agent.service', 'leasehold-init.service'].map((name) => {
    const text = unit(name).replaceAll('/opt/leasehold/current/', `${folder}/`);
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  });
}

async function withUnits<T>(use: (paths: string[]) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-units-'));
  try {
    mkdirSync(join(folder, 'bin'));
    for (const name of ['leasehold-agent', 'run-init-script.sh'])
      copyFileSync(join(host, name), join(folder, 'bin', name));
    return await use(unitsIn(folder));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('systemd finds nothing wrong with the units', async () => {
  expect(existsSync('/usr/bin/systemd-analyze'), 'the package systemd').toBe(true);
  await withUnits(async (paths) => {
    const { code, output } = await analyse(['verify', '--man=no', ...paths]);
    expect(output.split('\n').filter((line) => line.includes('leasehold'))).toEqual([]);
    expect(code).toBe(0);
  });
});

test("the agent's exposure is as low as a program that runs others as another user can have it", async () => {
  await withUnits(async ([path = '']) => {
    const { output } = await analyse(['security', '--offline=yes', '--no-pager', path]);
    const exposure = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(output)?.[1]);
    expect(exposure).toBeGreaterThan(0);
    expect(exposure).toBeLessThanOrEqual(4.5);
  });
});

test('nothing in the unit ends or hides the PostgreSQL that a restarted agent adopts', () => {
  const settings = new Map(
    unit('leasehold-agent.service')
      .split('\n')
      .filter((line) => /^[A-Za-z]+=/.test(line))
      .map((line) => line.split(/=(.*)/s) as [string, string]),
  );
  expect(settings.get('KillMode')).toBe('process');
  expect(settings.get('OOMPolicy')).toBe('continue');
  for (const name of [
    'PrivateIPC',
    'PrivateTmp',
    'PrivateUsers',
    'PrivatePIDs',
    'ProtectProc',
    'ProcSubset',
    'User',
  ])
    expect(settings.has(name), name).toBe(false);
  const capabilities = settings.get('CapabilityBoundingSet')?.split(' ') ?? [];
  expect(capabilities).toEqual(
    expect.arrayContaining(['CAP_SETUID', 'CAP_SETGID', 'CAP_KILL', 'CAP_SYS_PTRACE']),
  );
  expect(capabilities).not.toContain('CAP_SYS_ADMIN');
  // PostgreSQL may take 20 s to stop, and what it is doing 10 s before.
  expect(Number(settings.get('TimeoutStopSec'))).toBeGreaterThan(35);
});
