/** A host that ends decides nothing more, also in a round that was under way; what it waits for is that round. */
import { expect, it } from 'vitest';
import type { ActionRunner } from '../../agent/action-runner.ts';
import { DatabaseHost } from '../../agent/database/database-host.ts';
import type { OrderContext } from '../../agent/database/orders.ts';
import type { Look } from '../../agent/database/server.ts';
import { startWatch } from '../../core/lease/lease-clock.ts';

const stopped: Look = {
  postgres: { kind: 'stopped' },
  observation: null,
  postmaster: null,
  control: null,
  dataDirectory: 'absent',
  standbySignal: false,
};

/** A host whose look at PostgreSQL ends when it is told to; `begun` are the messages of its log. It knows nothing that a report needs. */
function bench() {
  const begun: string[] = [];
  const looks: ((look: Look) => void)[] = [];
  const context = {
    config: { node: 'node1', instanceId: 'i-1', tags: {} },
    writer: { node: 'node1', incarnation: 'i1' },
    keeper: {
      view: () => ({
        headRead: false,
        record: null,
        watch: startWatch(0),
        holdStage: 'none',
        heldBack: null,
      }),
      isHolder: () => false,
      notWritable: () => undefined,
      setSuspicious: () => undefined,
    },
    server: {
      look: () => new Promise<Look>((resolve) => looks.push(resolve)),
      last: () => null,
      isClosed: () => true,
    },
    disk: { reload: () => undefined, facts: () => ({}) },
    clients: { warm: () => undefined },
    now: () => 0,
    nodes: () => [],
    nodesEveryMs: () => 0,
    readNodes: async () => undefined,
    directoryRead: () => false,
    health: () => ({}),
    log: (_level: string, message: string) => begun.push(message),
  };
  const runner = { running: () => null, poke: () => undefined };
  const host = new DatabaseHost(context as unknown as OrderContext, runner as unknown as ActionRunner);
  return { host, begun, looks };
}

async function looking() {
  const made = bench();
  made.host.begin();
  await expect.poll(() => made.looks).toHaveLength(1);
  return made;
}

it('decides when its look has ended', async () => {
  const { host, begun, looks } = await looking();
  looks[0]?.(stopped);
  await host.settled();
  expect(begun).toContain('decided');
});

it('decides nothing in a round that was under way when it was stopped, and is settled only after it', async () => {
  const { host, begun, looks } = await looking();
  host.stop();
  let settled = false;
  const waiting = host.settled().then(() => {
    settled = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 10));
  expect(settled).toBe(false);
  looks[0]?.(stopped);
  await waiting;
  expect(begun).toEqual([]);
});
