// Actions are claimed once by whichever way they come, only while they are current, and what came of them is reported, whatever answers are
// lost (invariant O2).

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { failed, succeeded } from '../../agent/action-runner.ts';
import { actionId } from '../../core/model/operation.ts';
import { anAction, type Bench, bench, change, follow, item, operation } from '../support/action-bench.ts';
import { aLease, aRecord } from '../support/host-states.ts';
import { createMemoryStore } from '../support/memory-store.ts';

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('an action', () => {
  it('is found in the table, claimed, executed once and reported with its token', async () => {
    const made = await bench();
    change(made, { taskToken: 'token' });
    made.runner.poke();
    await pass(1_000);
    expect(made.begun).toHaveLength(1);
    expect(made.begun[0]).toMatchObject({ claimedBy: 'i2', status: 'claimed' });
    expect(item(made)).toMatchObject({ status: 'succeeded', result: { ok: true, message: 'done' } });
    expect(made.answered).toEqual([{ token: 'token', result: item(made).result }]);
  });

  it('is executed once though both ways bring it at the same moment, and both see its end', async () => {
    const made = await bench();
    made.line = ({ name }) => (name === 'claimAction' ? { answerMs: 30 } : { answerMs: 5 });
    made.work = async (_action, say) => {
      say('half way');
      await new Promise((resolve) => setTimeout(resolve, 300));
      return succeeded('followed');
    };
    made.runner.poke();
    const lines: string[] = [];
    const first = follow(made, lines);
    const second = follow(made);
    await pass(200);
    expect(made.runner.running()).toBe('follow');
    await pass(1_000);
    expect(made.begun).toHaveLength(1);
    expect(await first).toMatchObject({ ok: true, message: 'followed' });
    expect(await second).toEqual(await first);
    expect(lines).toContain('half way');
    expect(lines.at(-1)).toMatch(/^done: followed \[\d+ ms\]$/);
    expect(made.runner.running()).toBeNull();
  });

  it('is marked as prepared when its work says so, though an answer is lost', async () => {
    const made = await bench();
    let lost = 0;
    made.line = ({ name }) => {
      if (name !== 'markPrepared' || lost > 0) return {};
      lost += 1;
      return { lost: 'answer' };
    };
    made.work = async (_action, _say, _signal, _onlyWatches, prepared) => {
      expect(item(made).prepared).toBeUndefined();
      await prepared();
      expect(item(made)).toMatchObject({ status: 'claimed', prepared: true });
      return succeeded('done');
    };
    const result = follow(made);
    await pass(5_000);
    expect(await result).toMatchObject({ ok: true });
    expect(made.calls.filter(({ name }) => name === 'markPrepared')).toHaveLength(2);
  });

  it('holds nothing up on its host once it only watches, and is still followed to its end', async () => {
    const made = await bench();
    made.work = async (_action, _say, _signal, onlyWatches) => {
      await new Promise((resolve) => setTimeout(resolve, 200));
      onlyWatches();
      await new Promise((resolve) => setTimeout(resolve, 200));
      return succeeded('streams');
    };
    const result = follow(made);
    await pass(100);
    expect(made.runner.running()).toBe('follow');
    await pass(200);
    expect(made.runner.running()).toBeNull();
    await pass(500);
    expect(await result).toMatchObject({ ok: true, message: 'streams' });
  });

  it('is asked for once while its claim is on the way', async () => {
    const made = await bench();
    made.line = ({ name }) => (name === 'claimAction' ? { answerMs: 200 } : {});
    const asked = [follow(made), follow(made)];
    made.runner.poke();
    await pass(1_000);
    expect(made.calls.filter(({ name }) => name === 'claimAction')).toHaveLength(1);
    expect(await Promise.all(asked)).toEqual([item(made).result, item(made).result]);
    expect(made.begun).toHaveLength(1);
  });

  it('is told from the item when it was done before', async () => {
    const made = await bench();
    const result = { ok: true, error: '', message: 'long ago', ms: 1 };
    change(made, { status: 'succeeded', claimedBy: 'i1', result });
    const lines: string[] = [];
    expect(await follow(made, lines)).toEqual(result);
    expect(lines).toEqual(['already done: long ago']);
    expect(made.begun).toEqual([]);
  });

  it("of another node, or of none, is nobody's", async () => {
    const made = await bench({ actions: [anAction({ node: 'node3' })] });
    made.runner.poke();
    await pass(500);
    const answers = Promise.all([
      follow(made, [], actionId('follow', 'node3', 1)),
      follow(made, [], 'unknown'),
    ]);
    await pass(5_000);
    expect(await answers).toEqual([null, null]);
    expect(made.begun).toEqual([]);
  });

  it('is waited for when Run Command is quicker than the table', async () => {
    const late = anAction();
    const made = await bench({ actions: [], readActions: false });
    const result = follow(made, [], late.action);
    await pass(200);
    expect(made.begun).toEqual([]);
    await createMemoryStore({ table: made.table }).putAction(late);
    await pass(1_000);
    expect(await result).toMatchObject({ ok: true });
  });

  it('comes by Run Command alone where the table is not to be read', async () => {
    const made = await bench({ readActions: false });
    made.runner.poke();
    await pass(1_000);
    expect(made.begun).toEqual([]);
    const result = follow(made);
    await pass(10);
    expect(await result).toMatchObject({ ok: true });
  });

  it('that throws is reported as failed, and the agent lives', async () => {
    const made = await bench();
    made.work = async () => {
      throw new Error('a bug');
    };
    change(made, { taskToken: 'token' });
    made.runner.poke();
    await pass(100);
    expect(item(made)).toMatchObject({
      status: 'failed',
      result: { ok: false, error: 'InvariantViolation' },
    });
    expect(made.answered[0]?.result.message).toContain('a bug');
    expect(made.runner.running()).toBeNull();
  });

  it('that fails is reported as failed', async () => {
    const made = await bench();
    made.work = async () => failed('not-streaming', 'no stream', { timeline: 3 });
    made.runner.poke();
    await pass(100);
    expect(item(made).result).toMatchObject({ ok: false, error: 'not-streaming', timeline: 3 });
  });

  it('is told when its time is over', async () => {
    const made = await bench({ actions: [anAction({ timeoutMs: 700 })] });
    made.work = (_action, _say, signal) =>
      new Promise((resolve) =>
        signal.addEventListener('abort', () => resolve(failed('timed-out', 'too long'))),
      );
    made.runner.poke();
    await pass(699);
    expect(item(made).result).toBeNull();
    await pass(20);
    expect(item(made).result).toMatchObject({ ok: false, error: 'timed-out', ms: 700 });
  });
});

describe('a stale action', () => {
  const expectRefused = async (made: Bench): Promise<void> => {
    made.runner.poke();
    expect(await follow(made, [], [...made.table.actions.values()][0]?.action)).toBeNull();
    await pass(500);
    expect(made.begun).toEqual([]);
    expect([...made.table.actions.values()][0]?.status).toBe('ordered');
    // Though it is found again at each look.
    expect(made.logged.filter((message) => message === 'action refused')).toHaveLength(1);
  };

  it('of an operation that is over is refused, also when this agent has not heard of its end yet', async () => {
    const made = await bench();
    expect(made.keeper.view().record?.operation?.id).toBe(operation);
    made.table.record = aRecord({ version: 8, operation: null });
    await expectRefused(made);
  });

  it('of an operation that another has replaced is refused', async () => {
    const made = await bench();
    made.table.record = aRecord({
      version: 8,
      operation: { id: 'other', kind: 'failover', executionArn: null },
    });
    await expectRefused(made);
  });

  it.each(['stop-and-release', 'end-receiver'] as const)(
    '%s of an epoch that is over is refused',
    async (verb) => {
      const made = await bench({ actions: [anAction({ verb })] });
      made.table.lease = aLease({ epoch: 2, holder: 'node3', seq: 200 });
      await expectRefused(made);
    },
  );

  it('follow is carried out after the promotion of its own operation', async () => {
    const made = await bench({ lease: aLease({ epoch: 2, holder: 'node3' }) });
    made.runner.poke();
    await pass(100);
    expect(made.begun).toHaveLength(1);
  });

  it('of an epoch that the table has gone back behind is refused', async () => {
    await expectRefused(await bench({ actions: [anAction({ epoch: 2 })] }));
  });

  it('is not even claimed while what is current cannot be read; it is carried out later', async () => {
    const made = await bench();
    made.line = ({ name }) => (name === 'readHead' ? { lost: 'answer' } : {});
    made.runner.poke();
    await pass(1_000);
    expect(item(made).status).toBe('ordered');
    made.line = () => ({});
    await pass(1_500);
    expect(made.begun).toHaveLength(1);
  });
});

describe('when answers are lost', () => {
  it('a claim that landed is known again', async () => {
    const made = await bench();
    let lose = true;
    made.line = ({ name }) => {
      if (name !== 'claimAction' || !lose) return {};
      lose = false;
      return { lost: 'answer' };
    };
    made.runner.poke();
    await pass(10_000);
    expect(made.begun).toHaveLength(1);
    expect(item(made).status).toBe('succeeded');
  });

  it('a result that landed still sends the token back', async () => {
    const made = await bench();
    change(made, { taskToken: 'token' });
    let lose = true;
    made.line = ({ name }) => {
      if (name !== 'finishAction' || !lose) return {};
      lose = false;
      return { lost: 'answer' };
    };
    made.runner.poke();
    await pass(10_000);
    expect(made.begun).toHaveLength(1);
    expect(made.answered).toEqual([{ token: 'token', result: item(made).result }]);
  });

  it('a result is written again until it is taken', async () => {
    const made = await bench();
    let failures = 2;
    made.line = ({ name }) => {
      if (name !== 'finishAction' || failures === 0) return {};
      failures -= 1;
      return { lost: 'request' };
    };
    made.runner.poke();
    await pass(20_000);
    expect(item(made).status).toBe('succeeded');
    expect(made.begun).toHaveLength(1);
  });

  it('a result outlives an outage of DynamoDB as long as an operation waits for it, and holds nothing up meanwhile', async () => {
    const made = await bench();
    change(made, { taskToken: 'token' });
    let away = false;
    made.line = () => (away ? { lost: 'request' } : {});
    made.work = async () => {
      away = true;
      return succeeded('done');
    };
    made.runner.poke();
    await pass(15_000);
    expect(made.runner.running()).toBeNull();
    await pass(30_000);
    away = false;
    await pass(3_000);
    expect(item(made).status).toBe('succeeded');
    expect(made.answered).toHaveLength(1);
    expect(made.begun).toHaveLength(1);
  });

  it('a token is sent again until Step Functions has taken it', async () => {
    const made = await bench();
    change(made, { taskToken: 'token' });
    let refusals = 8;
    made.answering = async () => (refusals-- > 0 ? 'unreachable' : 'told');
    made.runner.poke();
    await pass(20_000);
    expect(made.answered).toHaveLength(9);
    expect(made.begun).toHaveLength(1);
  });

  it('a result that nobody takes is given up in the end, and not before', async () => {
    const made = await bench();
    const gaveUp = 'the result of an action could not be written';
    made.line = ({ name }) => (name === 'finishAction' ? { lost: 'request' } : {});
    made.runner.poke();
    await pass(60_000);
    expect(made.logged).not.toContain(gaveUp);
    await pass(120_000);
    expect(made.logged).toContain(gaveUp);
  });

  it('the agent outlives a store that throws, in each call, and a token that cannot be sent', async () => {
    for (const name of ['readOperation', 'claimAction', 'finishAction'] as const) {
      const made = await bench();
      let throws = true;
      made.line = (call) => ({ throws: call.name === name && throws });
      made.runner.poke();
      await pass(300);
      throws = false;
      await pass(1_000);
      expect(made.begun).toHaveLength(1);
      made.runner.stop();
    }
    const made = await bench();
    change(made, { taskToken: 'token' });
    made.answering = async () => {
      throw new Error('a bug in the client');
    };
    const result = follow(made);
    await pass(100);
    expect(await result).toMatchObject({ ok: true });
  });
});

describe('after the agent was restarted', () => {
  it('an action that the former one had claimed is taken up again, and reported by the new one', async () => {
    const made = await bench({
      actions: [anAction({ status: 'claimed', claimedBy: 'i1', taskToken: 'token' })],
    });
    made.runner.poke();
    await pass(200);
    expect(made.begun).toHaveLength(1);
    expect(item(made)).toMatchObject({ status: 'succeeded', claimedBy: 'i2' });
    expect(made.answered).toHaveLength(1);
  });

  it('no action begins before the lease that the former one held is adopted', async () => {
    const lease = aLease({ holder: 'node2', incarnation: 'i1' });
    const made = await bench({ lease });
    made.runner.poke();
    await pass(1_000);
    expect(made.begun).toEqual([]);
    made.table.lease = { ...lease, incarnation: 'i2', seq: lease.seq + 1 };
    made.keeper.readNow();
    await pass(10);
    expect(made.begun).toHaveLength(1);
  });
});

it('a runner that was stopped claims nothing more', async () => {
  const made = await bench();
  made.line = () => ({ answerMs: 50 });
  made.runner.poke();
  await pass(60);
  made.runner.stop();
  await pass(5_000);
  expect(made.begun).toEqual([]);
});
