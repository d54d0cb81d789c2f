/**
 * Commands that are stopped, and commands whose runtime or worker is killed in the middle: nothing that was started survives
 * its end, and nothing that ended is forgotten or run again.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CancelCommandCommand } from '@aws-sdk/client-ssm';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openCommandStore } from '../../local/aws/ssm-commands.ts';
import { commandsOf, documents } from './fixtures/ssm-commands.ts';
import { instanceId, openSsmHost, type SsmHost } from './fixtures/ssm-host.ts';
import { until } from './fixtures/until.ts';

let host: SsmHost;
const { send, invocation, status, ended, run } = commandsOf(() => host);

beforeAll(async () => {
  host = await openSsmHost(documents);
  await host.startWorker();
});

afterAll(async () => {
  await host?.close();
});

const isRunning = (pidFile: string) => {
  const pid = Number(readFileSync(pidFile, 'utf8'));
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

describe('a command that is stopped', () => {
  test('by its own time-out is killed with everything it started', async () => {
    const pidFile = join(host.folder, 'timed-out.pid');
    const result = await run({ script: [`sleep 60 & echo $! > ${pidFile}; wait`], executionTimeout: ['1'] });
    expect(result).toMatchObject({
      Status: 'TimedOut',
      StatusDetails: 'ExecutionTimedOut',
      ResponseCode: -1,
    });
    await until(() => !isRunning(pidFile), 'the child is gone');
  });

  test('by CancelCommand is killed with everything it started', async () => {
    const pidFile = join(host.folder, 'cancelled.pid');
    const id = await send({ script: [`sleep 60 & echo $! > ${pidFile}; wait`] });
    await until(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8') !== '', 'the script runs');
    await host.client.send(new CancelCommandCommand({ CommandId: id }));
    expect(await ended(id)).toMatchObject({ Status: 'Cancelled', StatusDetails: 'Cancelled' });
    await until(() => !isRunning(pidFile), 'the child is gone');
  });

  test('before a worker had it never runs', async () => {
    await host.killWorker();
    const file = join(host.folder, 'never');
    const id = await send({ script: [`touch ${file}`] });
    await host.client.send(new CancelCommandCommand({ CommandId: id, InstanceIds: [instanceId] }));
    expect(await status(id)).toBe('Cancelled');
    await host.startWorker();
    expect((await run({})).Status).toBe('Success');
    expect(existsSync(file)).toBe(false);
  });
});

describe('when a process dies', () => {
  test('a command sent without a worker waits for one', async () => {
    await host.killWorker();
    const id = await send({ script: ['echo waited'] });
    expect(await status(id)).toBe('Pending');
    await host.startWorker();
    expect((await ended(id)).StandardOutputContent).toBe('waited\n');
  });

  test('a command in progress ends as failed when its worker was replaced', async () => {
    const id = await send({ script: ['sleep 3'] });
    await until(async () => (await status(id)) === 'InProgress', 'it runs');
    await host.killWorker();
    expect(await status(id)).toBe('InProgress');
    await host.startWorker();
    const result = await ended(id);
    expect(result.Status).toBe('Failed');
    expect(result.StandardErrorContent).toContain('the agent restarted');
  });

  test('a runtime that comes back learns what ended, what runs and what waits', async () => {
    const finished = await send({ script: ['echo done before'] });
    await ended(finished);
    const traces = join(host.folder, 'traces');
    const running = await send({ script: ['sleep 0.4; echo ended meanwhile'] });
    const longer = await send({ script: [`echo ran >> ${traces}; sleep 2; echo ended after`] });
    await until(async () => (await status(longer)) === 'InProgress', 'both run');
    await until(async () => (await status(running)) === 'InProgress', 'both run');
    await host.stopRuntime();
    await new Promise((resolve) => setTimeout(resolve, 700));
    await host.startRuntime();
    expect(await invocation(finished)).toMatchObject({
      Status: 'Success',
      StandardOutputContent: 'done before\n',
    });
    expect(await status(longer)).toBe('InProgress');
    expect(await ended(running)).toMatchObject({
      Status: 'Success',
      StandardOutputContent: 'ended meanwhile\n',
    });
    expect(await ended(longer)).toMatchObject({ Status: 'Success', StandardOutputContent: 'ended after\n' });
    expect(readFileSync(traces, 'utf8')).toBe('ran\n');
  });

  test('a command that no worker took in time is over, and stays over', () => {
    vi.useFakeTimers();
    try {
      const store = openCommandStore(join(host.folder, 'store'));
      const pending = { instanceId, status: 'Pending' as const, statusDetails: 'Pending', steps: [] };
      const shared = {
        documentName: 'Probe-Run',
        comment: '',
        parameters: {},
        steps: [],
        timeoutSeconds: 30,
      };
      store.add({ commandId: 'c1', ...shared, requestedAtMs: Date.now(), invocations: [pending] });
      vi.advanceTimersByTime(29_999);
      expect(store.get('c1')?.invocations[0]?.status).toBe('Pending');
      vi.advanceTimersByTime(1);
      expect(store.get('c1')?.invocations[0]).toMatchObject({
        status: 'TimedOut',
        statusDetails: 'DeliveryTimedOut',
      });
      const late = { workerId: 'w', commandId: 'c1', status: 'InProgress' as const, steps: [] };
      expect(store.report(instanceId, late)).toBe('unwanted');
      const again = openCommandStore(join(host.folder, 'store'));
      expect(again.get('c1')?.invocations[0]?.statusDetails).toBe('DeliveryTimedOut');
    } finally {
      vi.useRealTimers();
    }
  });
});
