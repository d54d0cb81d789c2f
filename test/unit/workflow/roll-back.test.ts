/** An aborted hand-over: what it had prepared on other hosts is ordered back, awaited for a moment, and written down (O3). */
import { expect, test } from 'vitest';
import { type AbortInput, abortOperation } from '../../../adapters/workflow/abort.ts';
import type { WorkflowDeps } from '../../../adapters/workflow/ports.ts';
import { type Action, type ActionResult, actionId } from '../../../core/model/operation.ts';
import { sampleAction } from '../../support/samples.ts';
import { type Bench, createBench, operation, plan } from './workflow-bench.ts';

const handover = { ...plan, kind: 'switchover', path: 'handover', target: 'node2' } as const;
const input: AbortInput = {
  request: { cluster: 'main' },
  execution: 'arn:x',
  plan: handover,
  failure: { Error: 'not-caught-up', Cause: '{"message":"it lags"}' },
  round: 0,
};
const result: ActionResult = { ok: true, error: '', message: '', ms: 1 };

const prepared = (verb: 'follow' | 'pause', node: string, change: Partial<Action> = {}): Action => ({
  ...sampleAction,
  verb,
  node,
  action: actionId(verb, node, 1),
  args: verb === 'follow' ? { node: 'node2' } : {},
  status: 'succeeded',
  claimedBy: `i-${node}`,
  result,
  ...change,
});

function given(...actions: readonly Action[]): Bench {
  const bench = createBench();
  for (const action of actions) bench.table.actions.set(`${operation}#${action.action}`, action);
  return bench;
}

/** Hosts that do at once what they are ordered. */
function answering(bench: Bench): WorkflowDeps {
  return {
    ...bench.deps,
    sleep: async (ms) => {
      await bench.deps.sleep(ms);
      for (const [key, action] of bench.table.actions) {
        if (action.status !== 'ordered') continue;
        bench.table.actions.set(key, { ...action, status: 'succeeded', claimedBy: 'agent', result });
      }
    },
  };
}

const ordered = (bench: Bench) =>
  [...bench.table.actions.values()]
    .filter(({ action }) => !action.startsWith('stop-and-release') && !action.endsWith('#1'))
    .map(({ action, args, epoch }) => ({ action, to: args.node, epoch }));

test('a standby that went over to the target is ordered back to the primary before the operation is closed', async () => {
  const bench = given(prepared('follow', 'node3'));
  await abortOperation(answering(bench), input);
  expect(ordered(bench)).toEqual([{ action: 'follow@node3#2', to: 'node1', epoch: 3 }]);
  expect(bench.events()).toEqual(['operation_step', 'operation_rolled_back', 'operation_aborted']);
  expect(bench.table.operations.get(operation)?.outcome).toBe(
    'not-caught-up: it lags; node1 is still primary; rolled back: node3 follows node1 again',
  );
  expect(bench.table.record).toMatchObject({ operation: null, failoverState: 'stable' });
});

test('so is one that has begun to and not answered, and one that failed: both may have done it', async () => {
  const bench = given(
    prepared('follow', 'node3', { status: 'claimed', result: null }),
    prepared('follow', 'node4', {
      status: 'failed',
      result: { ...result, ok: false, error: 'not-streaming' },
    }),
  );
  await abortOperation(answering(bench), input);
  expect(ordered(bench).map(({ action }) => action)).toEqual(['follow@node3#2', 'follow@node4#2']);
});

test('an order that nobody has taken up is taken back instead: nothing is to be undone', async () => {
  const bench = given(prepared('follow', 'node3', { status: 'ordered', claimedBy: null, result: null }));
  await abortOperation(answering(bench), input);
  expect(ordered(bench)).toEqual([]);
  expect(await bench.store.claimAction(operation, 'follow@node3#1', 'i-3')).toEqual({ kind: 'refused' });
  expect(bench.events()).toEqual(['operation_aborted']);
});

test('proxies that armed themselves are ordered to let clients through', async () => {
  const bench = given(prepared('pause', 'proxy1'));
  await abortOperation(answering(bench), input);
  expect([...bench.table.actions.keys()]).toContain(`${operation}#resume@proxy1#1`);
  expect(bench.table.operations.get(operation)?.outcome).toContain('rolled back: proxy1 resumed');
});

test('a host that does not answer is named, and holds the end up for some seconds only', async () => {
  const bench = given(prepared('follow', 'node3'));
  const before = bench.deps.now();
  await abortOperation(bench.deps, input);
  expect(bench.deps.now() - before).toBeLessThan(10_000);
  expect(bench.table.record?.operation).toBeNull();
  expect(bench.table.operations.get(operation)?.outcome).toContain(
    'node3, ordered to follow, has not answered',
  );
});

test('done twice, as after the death of the function, it gives the same order once', async () => {
  const bench = given(prepared('follow', 'node3'));
  const dying: WorkflowDeps = {
    ...bench.deps,
    sleep: async () => {
      throw new Error('killed');
    },
  };
  await expect(abortOperation(dying, input)).rejects.toThrow('killed');
  expect(ordered(bench)).toHaveLength(1);
  await abortOperation(answering(bench), input);
  expect(ordered(bench)).toHaveLength(1);
});

test('once the old primary has let go nothing is ordered back: it goes forward', async () => {
  const bench = given(prepared('follow', 'node3'));
  if (bench.table.lease !== null) bench.table.lease = { ...bench.table.lease, state: 'sealed' };
  expect(await abortOperation(answering(bench), input)).toMatchObject({ verdict: 'fail-over' });
  expect(ordered(bench)).toEqual([]);
});
