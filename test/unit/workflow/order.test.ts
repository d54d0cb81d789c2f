/**
 * Ordering an action: it exists once, whichever way it was ordered; its result is answered by whoever finds it.
 */
import { expect, test } from 'vitest';
import type { ClusterStore } from '../../../adapters/aws/cluster-store.ts';
import { ok } from '../../../adapters/aws/store-answer.ts';
import { orderAction } from '../../../adapters/workflow/order.ts';
import type { ActionOrder } from '../../../core/failover/plan-operation.ts';
import { createBench, operation, unreachable, withHosts } from './workflow-bench.ts';

const order: ActionOrder = {
  node: 'node2',
  instanceId: 'i-2',
  verb: 'end-receiver',
  args: {},
  epoch: 3,
  attempt: 1,
  required: false,
  timeoutMs: 2000,
  timeoutSeconds: 3,
};
const input = { cluster: 'main', operation, step: 'waiting_for_catchup' as const, order, token: 'token-1' };
const result = { ok: true, error: '', message: 'done', ms: 5 };
const key = `${operation}#end-receiver@node2#1`;

test('an action is written for the agent, sent by Run Command, and waits for its token', async () => {
  const bench = createBench();
  expect(await orderAction(bench.deps, input)).toEqual({ action: 'end-receiver@node2#1' });
  expect(bench.table.actions.get(key)).toMatchObject({
    status: 'ordered',
    epoch: 3,
    taskToken: 'token-1',
    commandId: 'command',
    timeoutMs: 2000,
  });
  expect(bench.answered).toEqual([]);
  expect(bench.table.record?.failoverState).toBe('waiting_for_catchup');
  expect(bench.table.operations.get(operation)?.steps.map(({ step }) => step)).toContain(
    'waiting_for_catchup',
  );
});

test('ordered again, it is the same action with the new token', async () => {
  const bench = createBench();
  await orderAction(bench.deps, input);
  await bench.store.claimAction(operation, 'end-receiver@node2#1', 'i-2');
  await orderAction(bench.deps, { ...input, token: 'token-2' });
  expect(bench.table.actions.get(key)).toMatchObject({
    status: 'claimed',
    claimedBy: 'i-2',
    taskToken: 'token-2',
  });
  expect(bench.answered).toEqual([]);
});

test.each([
  [true, result],
  [false, 'not-caught-up'],
])('a result that is already there (ok: %s) is answered here', async (good, outcome) => {
  const bench = createBench();
  await orderAction(bench.deps, input);
  await bench.store.claimAction(operation, 'end-receiver@node2#1', 'i-2');
  const found = good ? result : { ...result, ok: false, error: 'not-caught-up' };
  await bench.store.finishAction(operation, 'end-receiver@node2#1', 'i-2', found);
  await orderAction(bench.deps, { ...input, token: 'token-2' });
  expect(bench.answered).toEqual([{ token: 'token-2', outcome }]);
});

test('without Run Command the agent still finds it', async () => {
  const bench = createBench();
  await orderAction(withHosts(bench, { runAction: async () => unreachable }), input);
  expect(bench.table.actions.get(key)).toMatchObject({
    status: 'ordered',
    taskToken: 'token-1',
    commandId: null,
  });
  expect(bench.log).toContain('warn run command did not take an action');
});

test('an agent may answer before Run Command has accepted the command, which is noted when it has', async () => {
  const bench = createBench();
  let accept: (id: string) => void = () => undefined;
  const accepted = new Promise<string>((resolve) => {
    accept = resolve;
  });
  const ordered = orderAction(withHosts(bench, { runAction: async () => ok(await accepted) }), input);
  await expect.poll(() => bench.table.actions.get(key)?.taskToken).toBe('token-1');
  expect(bench.table.actions.get(key)?.commandId).toBeNull();
  accept('late');
  await ordered;
  expect(bench.table.actions.get(key)?.commandId).toBe('late');
});

test('no agent answers before the step is marked: the next state would mark its own first', async () => {
  const bench = createBench();
  let marked: () => void = () => undefined;
  const marking = new Promise<void>((resolve) => {
    marked = resolve;
  });
  const store: ClusterStore = {
    ...bench.store,
    updateRecord: async (...of) => marking.then(() => bench.store.updateRecord(...of)),
  };
  const ordered = orderAction({ ...bench.deps, storeOf: () => store }, input);
  await expect.poll(() => bench.table.actions.has(key)).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 10));
  expect(bench.table.actions.get(key)?.taskToken).toBeNull();
  marked();
  await ordered;
  expect(bench.table.actions.get(key)?.taskToken).toBe('token-1');
});

test('a command that cannot be noted costs the history only', async () => {
  const bench = createBench();
  const store: ClusterStore = { ...bench.store, noteCommand: async () => unreachable };
  await orderAction({ ...bench.deps, storeOf: () => store }, input);
  expect(bench.log).toContain('warn the command of an action is missing in the history');
});

test('an operation whose place was taken orders nothing that anybody waits for', async () => {
  const bench = createBench();
  if (bench.table.record !== null) bench.table.record = { ...bench.table.record, operation: null };
  await expect(orderAction(bench.deps, input)).rejects.toMatchObject({ name: 'OperationSuperseded' });
  expect(bench.table.actions.get(key)?.taskToken ?? null).toBeNull();
  expect(bench.table.record?.failoverState).toBe('waiting_for_catchup');
});
