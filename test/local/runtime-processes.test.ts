/** The runtime's hold on real processes: supervision like systemd's, adoption after a restart, and the end of a whole host. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sleepMs } from '../../adapters/clock.ts';
import { isProcessAlive, sendSignal } from '../../adapters/process.ts';
import { hostMark, hostProcesses, killHostProcesses } from '../../local/runtime/process-family.ts';
import { SupervisedProcess, type SupervisedProgram } from '../../local/runtime/supervised-process.ts';

let folder = '';
const started: SupervisedProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-processes-'));
});

afterEach(async () => {
  for (const one of started.splice(0)) await one.stop('SIGKILL', 1_000);
  await killHostProcesses(folder);
  rmSync(folder, { recursive: true, force: true });
});

/** A program that appends its pid to a file and then runs `then`. */
function program(then: string, change: Partial<SupervisedProgram> = {}): SupervisedProgram {
  return {
    name: 'test',
    argv: ['/bin/sh', '-c', `echo $$ >>"${join(folder, 'pids')}"; ${then}`],
    env: { PATH: process.env['PATH'] ?? '', [hostMark]: folder },
    cwd: folder,
    logFile: join(folder, 'test.log'),
    pidFile: join(folder, 'test.json'),
    revision: 'one',
    ...change,
  };
}

const sleeping = 'exec sleep 60';

function supervise(given: SupervisedProgram, limit = 3): SupervisedProcess {
  const supervised = new SupervisedProcess(given, () => undefined, { delayMs: 20, limit, withinMs: 60_000 });
  started.push(supervised);
  return supervised;
}

function pidsSoFar(): number[] {
  const path = join(folder, 'pids');
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n').map(Number) : [];
}

async function eventually(what: string, look: () => boolean): Promise<void> {
  for (let round = 0; round < 500; round += 1) {
    if (look()) return;
    await sleepMs(10);
  }
  throw new Error(`not within 5 s: ${what}`);
}

function pidOf(supervised: SupervisedProcess): number {
  if (supervised.pid === null) throw new Error('it does not run');
  return supervised.pid;
}

describe('a supervised process', () => {
  it('is started again after it was killed', async () => {
    const supervised = supervise(program(sleeping));
    supervised.start();
    const first = pidOf(supervised);
    sendSignal(first, 'SIGKILL');
    await eventually('a second start', () => supervised.pid !== null && supervised.pid !== first);
    expect(supervised.state).toBe('running');
  });

  it('is given up when it ends too often, and not before', async () => {
    const supervised = supervise(program('exit 1'), 3);
    supervised.start();
    await eventually('giving up', () => supervised.state === 'failed');
    expect(pidsSoFar()).toHaveLength(3);
    await sleepMs(100);
    expect(pidsSoFar()).toHaveLength(3);
  });

  it('fails, rather than throws, when the program does not exist', async () => {
    const supervised = supervise(program('', { argv: ['/nonexistent/program'] }), 2);
    supervised.start();
    await eventually('giving up', () => supervised.state === 'failed');
    expect(supervised.pid).toBeNull();
  });

  it('stays ended once it was stopped', async () => {
    const supervised = supervise(program(sleeping));
    supervised.start();
    const pid = pidOf(supervised);
    await supervised.stop('SIGTERM', 2_000);
    await sleepMs(100);
    expect([isProcessAlive(pid), supervised.state, supervised.pid]).toEqual([false, 'stopped', null]);
  });

  it('is killed when it ignores the signal, and when it was stopped in its tracks', async () => {
    const deaf = supervise(program('trap "" TERM; while :; do sleep 0.05; done'));
    deaf.start();
    await eventually('its start', () => pidsSoFar().length === 1);
    const pid = pidOf(deaf);
    sendSignal(pid, 'SIGSTOP');
    const startedMs = performance.now();
    await deaf.stop('SIGTERM', 200);
    expect(isProcessAlive(pid)).toBe(false);
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(200);
  });

  it('is taken over by the next runtime, and started again by it when it ends', async () => {
    const before = supervise(program(sleeping));
    before.start();
    const pid = pidOf(before);
    before.release();
    const after = supervise(program(sleeping));
    expect(await after.adopt()).toBe(true);
    expect(after.pid).toBe(pid);
    sendSignal(pid, 'SIGKILL');
    await eventually('a new process', () => after.pid !== null && after.pid !== pid);
  });

  it('is replaced when it was started with something else', async () => {
    const before = supervise(program(sleeping));
    before.start();
    const pid = pidOf(before);
    before.release();
    const after = supervise(program(sleeping, { revision: 'two' }));
    expect(await after.adopt()).toBe(false);
    expect(isProcessAlive(pid)).toBe(false);
  });

  it('is not taken for another process that got its pid', async () => {
    const other = spawn('sleep', ['60'], { stdio: 'ignore' });
    try {
      const given = program(sleeping);
      writeFileSync(given.pidFile, JSON.stringify({ pid: other.pid, startTicks: 1, revision: 'one' }));
      expect(await supervise(given).adopt()).toBe(false);
      expect(isProcessAlive(other.pid ?? 0)).toBe(true);
    } finally {
      other.kill('SIGKILL');
    }
  });
});

describe('the processes of a host', () => {
  it('include what its programs started in sessions of their own, and all die at once', async () => {
    const escaping = `setsid sh -c 'echo $$ >>"${join(folder, 'pids')}"; exec sleep 60' & exec sleep 60`;
    const supervised = supervise(program(escaping));
    supervised.start();
    await eventually('both', () => pidsSoFar().length === 2);
    const pids = pidsSoFar();
    expect(hostProcesses(folder)).toEqual(expect.arrayContaining(pids));
    supervised.release();
    await killHostProcesses(folder);
    expect(pids.filter((pid) => isProcessAlive(pid))).toEqual([]);
  });

  it('are not the shell, the editor or the tail of somebody who looks into its folder', async () => {
    mkdirSync(join(folder, 'data'));
    writeFileSync(join(folder, 'agent.log'), '');
    const tail = spawn('tail', ['-f', join(folder, 'agent.log')], { stdio: 'ignore' });
    const shell = spawn('sh', ['-c', 'sleep 60; :'], { cwd: join(folder, 'data'), stdio: 'ignore' });
    try {
      await killHostProcesses(folder);
      expect([isProcessAlive(tail.pid ?? 0), isProcessAlive(shell.pid ?? 0)]).toEqual([true, true]);
    } finally {
      tail.kill('SIGKILL');
      shell.kill('SIGKILL');
    }
  });

  it('of one host are not those of another whose name begins alike', async () => {
    const twin = `${folder}0`;
    const other = spawn('sleep', ['60'], { env: { ...process.env, [hostMark]: twin }, stdio: 'ignore' });
    try {
      expect(hostProcesses(twin)).toContain(other.pid);
      expect(hostProcesses(folder)).not.toContain(other.pid);
    } finally {
      other.kill('SIGKILL');
    }
  });
});
