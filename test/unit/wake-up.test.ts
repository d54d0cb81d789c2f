/** The wake-up datagram between real sockets on loopback: who is woken, who is not, and how often. */
import { createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { createWakeUp, type WakeUp, type WakeUpConfig } from '../../adapters/wake-up.ts';
import { fixedSecret } from '../support/fixed-secret.ts';

const host = '127.0.0.1';
const open: WakeUp[] = [];

async function agent(
  node: string,
  changes: Partial<WakeUpConfig> = {},
): Promise<{ wakeUp: WakeUp; woken: () => number; read: () => number }> {
  let woken = 0;
  let read = 0;
  const onWake = (): void => {
    woken += 1;
  };
  const onBaton = (): void => {
    read += 1;
  };
  const wakeUp = await createWakeUp({
    host,
    port: 0,
    secret: fixedSecret('s'),
    cluster: 'main',
    node,
    onWake,
    onBaton,
    ...changes,
  });
  open.push(wakeUp);
  return { wakeUp, woken: () => woken, read: () => read };
}

async function inject(port: number, datagrams: readonly Buffer[]): Promise<void> {
  const socket = createSocket('udp4');
  for (const datagram of datagrams) {
    await new Promise<void>((resolve) => socket.send(datagram, port, host, () => resolve()));
  }
  socket.close();
}

function forge(body: string, secret = 's', magic = 'lhw1'): Buffer {
  const mac = createHmac('sha256', secret).update('leasehold wake-up 1\n').update(body).digest();
  return Buffer.concat([Buffer.from(magic), mac, Buffer.from(body)]);
}

const hint = (changes: object = {}): string =>
  JSON.stringify({ cluster: 'main', node: 'node9', boot: 'b', counter: 1, reason: '', ...changes });

afterEach(() => {
  for (const wakeUp of open.splice(0)) wakeUp.close();
});

test('wakes every peer, once a datagram, and not itself', async () => {
  const [one, two, three] = [await agent('node1'), await agent('node2'), await agent('node3')];
  one.wakeUp.setPeers([one, two, three].map(({ wakeUp }) => ({ host, port: wakeUp.port })));
  one.wakeUp.wake('lease');
  await vi.waitFor(() => expect([two.woken(), three.woken()]).toEqual([1, 1]));
  await delay(10);
  one.wakeUp.wake('lease');
  await vi.waitFor(() => expect([two.woken(), three.woken()]).toEqual([2, 2]));
  await vi.waitFor(() =>
    expect(one.wakeUp.counts()).toEqual({ sent: 6, failed: 0, accepted: 0, ignored: 2 }),
  );
  expect(one.woken()).toBe(0);
});

test('peers that are replaced, or do not listen yet, are not told', async () => {
  const [one, two, three] = [await agent('node1'), await agent('node2'), await agent('node3')];
  one.wakeUp.setPeers([{ host, port: two.wakeUp.port }]);
  one.wakeUp.setPeers([
    { host, port: three.wakeUp.port },
    { host, port: 0 },
  ]);
  one.wakeUp.wake('epoch');
  await vi.waitFor(() => expect(three.woken()).toBe(1));
  expect(two.woken()).toBe(0);
  expect(one.wakeUp.counts().sent).toBe(1);
});

test('the lease is read for what may have changed it, and not for what a proxy reports', async () => {
  const [one, two] = [await agent('node1'), await agent('node2')];
  one.wakeUp.setPeers([{ host, port: two.wakeUp.port }]);
  for (const reason of ['proxy', 'lease', 'proxy', 'epoch', 'action'] as const) {
    const before = two.woken();
    one.wakeUp.wake(reason);
    await vi.waitFor(() => expect(two.woken()).toBe(before + 1));
    await delay(10);
  }
  expect(two.read()).toBe(3);
  // Of a version that is not known here: read to be sure.
  await inject(two.wakeUp.port, [forge(hint({ reason: 'moon' }))]);
  await vi.waitFor(() => expect(two.read()).toBe(4));
});

test.each([
  ['another secret', forge(hint(), 'other')],
  ['another cluster', forge(hint({ cluster: 'other' }))],
  ['another magic', forge(hint(), 's', 'lhw2')],
  ['a changed body', Buffer.concat([forge(hint()).subarray(0, 36), Buffer.from(hint({ counter: 2 }))])],
  ['no body', forge('')],
  ['a body that is not JSON', forge('{')],
  ['a body that is not an object', forge('null')],
  ['a counter that is not a number', forge(hint({ counter: '1' }))],
  ['a datagram that is too long', forge(hint({ reason: 'x'.repeat(500) }))],
  ['noise', Buffer.from('hello')],
])('%s wakes nobody and is counted', async (_name, datagram) => {
  const one = await agent('node1');
  await inject(one.wakeUp.port, [datagram, forge(hint({ node: 'honest' }))]);
  await vi.waitFor(() => expect(one.wakeUp.counts()).toMatchObject({ accepted: 1, ignored: 1 }));
  expect(one.woken()).toBe(1);
});

test('a datagram that is replayed wakes nobody; the next of its boot, or another boot, does', async () => {
  const one = await agent('node1');
  const first = forge(hint({ counter: 5 }));
  await inject(one.wakeUp.port, [
    first,
    first,
    forge(hint({ counter: 4 })),
    forge(hint({ counter: 6 })),
    first,
  ]);
  await vi.waitFor(() => expect(one.wakeUp.counts()).toMatchObject({ accepted: 2, ignored: 3 }));
  await inject(one.wakeUp.port, [forge(hint({ boot: 'c', counter: 1 })), first]);
  await vi.waitFor(() => expect(one.wakeUp.counts()).toMatchObject({ accepted: 3, ignored: 4 }));
});

test('a flood is coalesced: all are accepted, few wake, and the last is not lost', async () => {
  const one = await agent('node1');
  const flood = Array.from({ length: 200 }, (_, index) => forge(hint({ counter: index + 1 })));
  const startedMs = performance.now();
  await inject(one.wakeUp.port, flood);
  await vi.waitFor(() => expect(one.wakeUp.counts().accepted).toBe(200));
  const elapsedMs = performance.now() - startedMs;
  await delay(10);
  expect(one.woken()).toBeGreaterThanOrEqual(2);
  expect(one.woken()).toBeLessThanOrEqual(2 + elapsedMs / 2);
  const before = one.woken();
  await inject(one.wakeUp.port, [forge(hint({ counter: 201 }))]);
  await vi.waitFor(() => expect(one.woken()).toBe(before + 1));
});

test('of two at once the second wakes too, a moment later', async () => {
  const one = await agent('node1');
  for (let round = 0; round < 5; round += 1) {
    const before = one.woken();
    const both = [1, 2].map((index) => forge(hint({ counter: 2 * round + index })));
    await inject(one.wakeUp.port, both);
    await vi.waitFor(() => expect(one.woken()).toBe(before + 2));
    await delay(5);
  }
});

test('is silent when closed, and closes twice', async () => {
  const [one, two] = [await agent('node1'), await agent('node2')];
  one.wakeUp.setPeers([{ host, port: two.wakeUp.port }]);
  one.wakeUp.close();
  one.wakeUp.close();
  one.wakeUp.wake('lease');
  await delay(20);
  expect(two.wakeUp.counts().accepted).toBe(0);
});

test('a port that is taken is refused', async () => {
  const one = await agent('node1');
  await expect(agent('node2', { port: one.wakeUp.port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
});
