/**
 * The watchdog device in the hands of a real agent, a FIFO in the device's place (F3): pinged while it holds the lease, left armed by an
 * agent that dies, disarmed only when PostgreSQL is down.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AgentsSandbox, type SandboxAgent, serverPids } from './support/agents-sandbox.ts';

let sandbox: AgentsSandbox;
let agent: SandboxAgent;
let reader: number;
let data: string;

beforeAll(async () => {
  sandbox = await AgentsSandbox.open();
  agent = await sandbox.addAgent('node1');
  const device = join(agent.config.folder, 'watchdog');
  execFileSync('mkfifo', [device]);
  reader = openSync(device, constants.O_RDONLY | constants.O_NONBLOCK);
  const config = { ...agent.config, watchdog: device };
  writeFileSync(join(agent.config.folder, 'config.json'), JSON.stringify(config), { mode: 0o600 });
  data = join(agent.config.folder, 'data', 'pgdata');
});
afterAll(async () => {
  closeSync(reader);
  await sandbox?.close();
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What the device was sent since it was looked at last. */
function written(): string {
  const buffer = Buffer.alloc(10_000);
  try {
    return buffer.toString('latin1', 0, readSync(reader, buffer));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return '';
    throw error;
  }
}

it('is pinged by the holder of the lease, stays armed when its agent dies, and is disarmed once PostgreSQL is down', async () => {
  agent.start();
  await sandbox.until('a primary', async () => (await sandbox.head()).lease?.state === 'held');
  await sandbox.until('pings', () => written().length > 0);
  await pause(1_200);
  expect(written()).toMatch(/^1+$/);

  await agent.kill('SIGKILL');
  written();
  await sandbox.until('the guard to have stopped PostgreSQL', () => serverPids(data).length === 0);
  // Nobody pings, and nobody has disarmed it: on a machine with such a device the reset would follow.
  expect(written()).toBe('');

  agent.start();
  await sandbox.until('pings of the successor', () => written().length > 0);
  await agent.kill('SIGUSR2');
  expect(serverPids(data)).toEqual([]);
  expect(written()).toMatch(/^1*V$/);
});
