/**
 * An operation without Step Functions: the definition with steps for functions, answers that are looked for instead of tokens, a
 * Run Command that is left out once it is away, and who may take such a run over (O1).
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compileDefinition } from '../../../adapters/asl/definition.ts';
import { ok } from '../../../adapters/aws/store-answer.ts';
import { DirectAnswers } from '../../../adapters/workflow/direct-answers.ts';
import { hurriedHosts, startDirectRun } from '../../../adapters/workflow/direct-run.ts';
import { directSilenceMs, isCarriedOn } from '../../../adapters/workflow/execution-alive.ts';
import { placeOrder } from '../../../adapters/workflow/order.ts';
import { definitionForSteps, workflowSteps } from '../../../adapters/workflow/steps.ts';
import type { Action, ActionResult } from '../../../core/model/operation.ts';
import { sampleAction } from '../../support/samples.ts';
import { type Bench, createBench, operation, unreachable, withHosts } from './workflow-bench.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const definition = readFileSync(join(root, 'infra', 'failover.asl.json'), 'utf8');

describe('the definition', () => {
  test('compiles with the steps in the place of the functions, and calls no other', () => {
    const text = definitionForSteps(definition);
    compileDefinition(text);
    const called = Array.from(text.matchAll(/"FunctionName": "([^"]+)"/g), (match) => match[1]);
    const steps = Object.keys(workflowSteps(createBench().deps, 'direct-1'));
    expect(new Set(called)).toEqual(new Set(steps));
  });

  test('with a function that is no step is refused', () => {
    expect(() => definitionForSteps('{"FunctionName":"${SentinelFunctionArn}"}')).toThrow(/no step/);
  });
});

const result: ActionResult = { ok: true, error: '', message: 'done', ms: 5 };
const action: Action = {
  ...sampleAction,
  ...{ operation, claimedBy: 'i-1', result: null, taskToken: null },
  status: 'claimed',
};

/** Looks are taken by hand: each call lets the next one happen. */
function answers(bench: Bench) {
  const due: (() => void)[] = [];
  const made = new DirectAnswers(
    () => bench.deps.tasks,
    (work) => due.push(work),
  );
  const look = async (): Promise<void> => {
    due.shift()?.();
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  };
  return { store: made.keeping(bench.store), look, due, close: () => made.close() };
}

async function given(held: ActionResult | null = null): Promise<Bench> {
  const bench = createBench();
  await bench.store.putAction({ ...action, result: held });
  return bench;
}

const finish = (bench: Bench, of: ActionResult) =>
  bench.store.finishAction(operation, action.action, 'i-1', of);

describe('the answers of hosts', () => {
  test('are looked for until they are there; no token is left with the action', async () => {
    const bench = await given();
    const direct = answers(bench);
    await direct.store.attachTaskToken(operation, action.action, 'token');
    const read = await bench.store.readOperation(operation);
    expect(read).toMatchObject({ value: { actions: [{ taskToken: null }] } });
    await direct.look();
    expect(bench.answered).toEqual([]);
    expect(await finish(bench, result)).toMatchObject({ kind: 'ok' });
    await direct.look();
    expect(bench.answered).toEqual([{ token: 'token', outcome: result }]);
    expect(direct.due).toEqual([]);
  });

  test('that tell of a failure fail the task with its name', async () => {
    const bench = await given();
    const direct = answers(bench);
    await direct.store.attachTaskToken(operation, action.action, 'token');
    await finish(bench, { ...result, ok: false, error: 'not-caught-up' });
    await direct.look();
    expect(bench.answered).toEqual([{ token: 'token', outcome: 'not-caught-up' }]);
  });

  test('that are there already are returned at once, and nothing is waited for', async () => {
    const bench = await given(result);
    const direct = answers(bench);
    const attached = await direct.store.attachTaskToken(operation, action.action, 'token');
    expect(attached).toMatchObject({ kind: 'ok', value: { result } });
    expect(direct.due).toEqual([]);
  });

  test('of an action that does not exist are refused', async () => {
    const direct = answers(await given());
    expect(await direct.store.attachTaskToken(operation, 'follow@node9#1', 'token')).toEqual({
      kind: 'refused',
    });
  });

  test('are looked for no longer once the run has ended', async () => {
    const direct = answers(await given());
    await direct.store.attachTaskToken(operation, action.action, 'token');
    direct.close();
    await direct.look();
    expect(direct.due).toEqual([]);
  });
});

describe('a direct run', () => {
  test('ends with the refusal of its first step, and claims nothing', async () => {
    const bench = createBench();
    const { record } = bench.table;
    if (record !== null) bench.table.record = { ...record, operation: null, failoverState: 'stable' };
    const run = startDirectRun(bench.deps, {
      cluster: 'main',
      definition,
      input: { cluster: 'main', kind: 'switchover', target: 'node9' },
    });
    expect(await run.finished).toMatchObject({ status: 'FAILED', error: 'UnknownTarget' });
    expect(run.operation()).toBeNull();
    expect(bench.table.record?.operation).toBeNull();
  });

  test('is known in the record by a name that no service gives', async () => {
    const bench = createBench();
    const run = startDirectRun(bench.deps, { cluster: 'main', definition, input: { cluster: 'main' } });
    expect(run.id).toMatch(/^direct-01JD/);
    run.abandon();
  });
});

test('Run Command is asked once when it is away, and the actions are placed all the same', async () => {
  const bench = createBench();
  let asked = 0;
  const deps = withHosts(bench, {
    runAction: async () => {
      asked += 1;
      return unreachable;
    },
  });
  const hurried = { ...deps, hosts: hurriedHosts(deps) };
  for (const attempt of [1, 2]) {
    const placed = { operation, step: 'waiting_for_catchup', order: orderOf(attempt) } as const;
    await placeOrder(hurried, bench.store, placed);
  }
  expect(asked).toBe(1);
  const read = await bench.store.readOperation(operation);
  expect(read.kind === 'ok' ? read.value.actions : []).toHaveLength(2);
});

function orderOf(attempt: number) {
  return {
    node: 'node1',
    instanceId: 'i-1',
    verb: 'checkpoint',
    args: {},
    epoch: 3,
    attempt,
    required: true,
    timeoutMs: 1_000,
    timeoutSeconds: 2,
  } as const;
}

describe('whether an operation is carried on, when Step Functions cannot say', () => {
  const current = { id: operation, kind: 'failover', executionArn: 'arn:aws:states:x' } as const;
  const asking = (bench: Bench) => ({
    ...bench.deps,
    executions: { ...bench.deps.executions, status: async () => ok('unknowable' as const) },
  });

  test('it is while the record moves', async () => {
    const bench = createBench();
    const deps = asking(bench);
    const sleep = async (ms: number): Promise<void> => {
      await bench.deps.sleep(ms);
      if (bench.deps.now() === 5_000) await bench.store.updateRecord({ expect: { operation }, set: {} });
    };
    expect(await isCarriedOn({ ...deps, sleep }, bench.store, current)).toBe(true);
    expect(bench.deps.now()).toBeLessThan(directSilenceMs);
  });

  test('it is not after a silence', async () => {
    const bench = createBench();
    expect(await isCarriedOn(asking(bench), bench.store, current)).toBe(false);
    expect(bench.deps.now()).toBeGreaterThanOrEqual(directSilenceMs);
  });
});
