/**
 * The steps of a change as the primary's agent takes them: what is written to the lease, put in force and proven, in which order (S1). The lease and
 * PostgreSQL are fakes that keep a journal.
 */
import { expect, test } from 'vitest';
import type { HostContext } from '../../../agent/database/host-context.ts';
import { SynchronousNames } from '../../../agent/database/synchronous-names.ts';
import { applyLeaseWrite, type LeaseWrite } from '../../../core/lease/lease-write.ts';
import { alone, asynchronous, type Lease, type SynchronousRule } from '../../../core/model/lease.ts';
import { lsnOf } from '../../../core/model/lsn.ts';
import type { Sender } from '../../../core/synchronous/barrier.ts';
import { describeRule } from '../../../core/synchronous/synchronous-rule.ts';
import { sampleLease, sampleRecord } from '../../support/samples.ts';

const any = (k: number, ...names: string[]): SynchronousRule => ({ method: 'any', k, names });

class Bench {
  readonly journal: string[] = [];
  lease: Lease = {
    ...sampleLease,
    ...{ state: 'held', holder: 'node1', successor: null, operation: null },
    sync: { ...alone, mode: 'on', next: null },
  };
  record = {
    ...sampleRecord,
    members: ['node1', 'node2', 'node3'],
    spec: { ...sampleRecord.spec, sync: { mode: 'on' as 'off' | 'on', method: 'any' as const, k: 1 } },
  };
  senders: Sender[] = [];
  inForce = '';
  written = 100n;
  pid = 7;
  holds = true;
  putFails = false;
  barrierFails = false;
  /** The standbys have everything at once. */
  follows = true;
  onPut: () => void = () => undefined;
  onLook: () => void = () => undefined;
  nowMs = 0;
  /** What each proof may take. */
  readonly limits: number[] = [];
  readonly names = new SynchronousNames();

  stream(...nodes: string[]): void {
    this.senders = nodes.map((name) => ({
      name,
      state: 'streaming',
      priority: 1,
      flushLsn: lsnOf(this.written),
    }));
  }

  readonly context = {
    config: { node: 'node1' },
    writer: { node: 'node1', incarnation: sampleLease.incarnation },
    now: () => this.nowMs,
    nodes: () => [],
    log: () => undefined,
    emit: (kind: string) => this.journal.push(kind),
    reportSoon: () => undefined,
    nextWake: async () => {
      this.nowMs += 25;
    },
    keeper: {
      view: () => ({ record: this.record, watch: { lease: this.lease, sinceMs: 0 }, holdStage: 'valid' }),
      isHolder: () => this.holds,
      write: async (write: LeaseWrite) => {
        const lease = applyLeaseWrite(this.lease, write);
        if (lease === null) return { kind: 'refused' };
        this.lease = lease;
        const { next } = lease.sync;
        this.journal.push(
          `lease ${describeRule(lease.sync)}${next === null ? '' : ` > ${describeRule(next)}`}`,
        );
        return { kind: 'done', lease };
      },
    },
    server: {
      last: () => ({ observation: { synchronousStandbyNames: this.inForce } }),
      node: {
        findPostmaster: async () => (this.pid === 0 ? null : { pid: this.pid, startTicks: 1 }),
        putNamesInForce: async (value: string, limitMs: number) => {
          this.limits.push(limitMs);
          this.onPut();
          if (this.putFails) return { kind: 'unproven', reason: 'it does not answer' };
          this.inForce = value;
          this.journal.push(`put ${value}`);
          return { kind: 'in-force' };
        },
        setSynchronousStandbyNames: async (value: string) => {
          this.inForce = value;
          this.journal.push(`set ${value}`);
          return { kind: this.pid === 0 ? 'not-running' : 'in-force' };
        },
        writeBarrier: async () => {
          if (this.barrierFails) return { kind: 'unreachable', reason: 'no answer in time' };
          this.written += 10n;
          this.journal.push('barrier');
          if (this.follows) this.stream(...this.senders.map(({ name }) => name));
          return lsnOf(this.written);
        },
        lookAtSenders: async () => {
          this.onLook();
          return {
            ...{ kind: 'senders', senders: this.senders, names: this.inForce },
            writtenLsn: lsnOf(this.written),
          };
        },
      },
    },
  } as unknown as HostContext;

  async tend(): Promise<void> {
    this.names.tend(this.context);
    for (let turn = 0; turn < 2_000; turn += 1) await Promise.resolve();
  }
}

test('a change is recorded, then in force, then proven by a barrier, then the set', async () => {
  const bench = new Bench();
  bench.stream('node2');
  await bench.tend();
  expect(bench.journal).toEqual([
    'set ',
    'lease the primary alone > ANY 1 of node2',
    'put ANY 1 ("node2")',
    'barrier',
    'lease ANY 1 of node2',
    'synchronous_changed',
  ]);
  await bench.tend();
  expect(bench.journal).toHaveLength(6);
});

test('what has not passed the barrier is not settled, and goes on later', async () => {
  const bench = new Bench();
  bench.follows = false;
  bench.stream('node2');
  await bench.tend();
  expect(bench.journal.at(-1)).toBe('barrier');
  expect(bench.lease.sync.next).toEqual(any(1, 'node2'));
  bench.stream('node2');
  await bench.tend();
  expect(bench.journal.slice(-2)).toEqual(['lease ANY 1 of node2', 'synchronous_changed']);
});

test('without a barrier nothing is settled', async () => {
  const bench = new Bench();
  bench.barrierFails = true;
  bench.stream('node2');
  await bench.tend();
  expect(bench.journal.at(-1)).toBe('put ANY 1 ("node2")');
  expect(bench.lease.sync).toMatchObject({ k: 0, next: any(1, 'node2') });
});

test('to acknowledge alone is recorded first, and in force after that', async () => {
  const bench = new Bench();
  bench.lease = { ...bench.lease, sync: { ...any(1, 'node2'), mode: 'on', next: null } };
  await bench.tend();
  bench.nowMs += 5_000;
  await bench.tend();
  expect(bench.journal.slice(-3)).toEqual(['lease the primary alone', 'synchronous_changed', 'set ']);
});

test('nothing is put in force once the lease is lost', async () => {
  const bench = new Bench();
  bench.lease = { ...bench.lease, sync: { ...alone, mode: 'on', next: any(1, 'node2') } };
  bench.stream('node2');
  bench.holds = false;
  await bench.tend();
  expect(bench.journal).toEqual([]);
});

test('what was planned is not put in force when the lease was lost, or says something else, by then', async () => {
  const changing = { ...alone, mode: 'on', next: any(1, 'node2') } as const;
  for (const happens of ['lost', 'changed'] as const) {
    const bench = new Bench();
    bench.lease = { ...bench.lease, sync: changing };
    bench.stream('node2');
    bench.onLook = () => {
      if (happens === 'lost') bench.holds = false;
      else bench.lease = { ...bench.lease, sync: { ...any(1, 'node3'), mode: 'on', next: null } };
    };
    await bench.tend();
    expect(bench.journal.filter((line) => line.includes('"node2"'))).toEqual([]);
  }
});

test('a change that an agent finds is put in force anew, for what it finds in force is not known to be proven', async () => {
  const bench = new Bench();
  bench.lease = { ...bench.lease, sync: { ...any(1, 'node3'), mode: 'on', next: any(1, 'node2') } };
  bench.inForce = 'ANY 1 ("node2")';
  bench.stream('node2');
  await bench.tend();
  expect(bench.journal.slice(0, 3)).toEqual(['put ANY 1 ("node2")', 'barrier', 'lease ANY 1 of node2']);
});

test('a server that was started anew, or whose setting somebody changed, is put right', async () => {
  const bench = new Bench();
  bench.stream('node2');
  await bench.tend();
  const before = bench.journal.length;
  bench.pid = 8;
  await bench.tend();
  expect(bench.journal.slice(before)).toEqual(['put ANY 1 ("node2")']);
  bench.inForce = '*';
  await bench.tend();
  expect(bench.journal.slice(before)).toEqual(['put ANY 1 ("node2")', 'put ANY 1 ("node2")']);
});

test('an asynchronous cluster is left alone', async () => {
  const bench = new Bench();
  bench.record = {
    ...bench.record,
    spec: { ...bench.record.spec, sync: { mode: 'off', method: 'any', k: 1 } },
  };
  bench.lease = { ...bench.lease, sync: asynchronous };
  bench.stream('node2');
  await bench.tend();
  expect(bench.journal).toEqual([]);
});

test('a holder prepares no new epoch: what it would put in force is not recorded', async () => {
  const bench = new Bench();
  expect(await bench.names.prepare(bench.context, null)).toBe('this node holds the lease already');
  expect(bench.journal).toEqual([]);
});

test('the names of a new epoch are in force before it is acquired, and proven once', async () => {
  const bench = new Bench();
  bench.lease = { ...bench.lease, holder: 'node2' };
  const sealed: Lease = {
    ...bench.lease,
    state: 'sealed',
    holder: 'node2',
    sync: { ...any(1, 'node1'), mode: 'on', next: null },
  };
  const rule = await bench.names.prepare(bench.context, sealed);
  expect(rule).toEqual(any(1, 'node3'));
  expect(await bench.names.prepare(bench.context, sealed)).toEqual(any(1, 'node3'));
  expect(bench.journal).toEqual(['put ANY 1 ("node3")']);
  expect(bench.names.syncOf(bench.context, sealed, any(1, 'node3'))).toEqual({
    ...any(1, 'node1'),
    mode: 'on',
    next: any(1, 'node3'),
  });
});

test('a proof may take long while the primary serves, and not where a lease is at stake', async () => {
  const bench = new Bench();
  bench.stream('node2');
  await bench.tend();
  bench.lease = { ...bench.lease, holder: 'node2' };
  await bench.names.prepare(bench.context, null);
  expect(bench.limits).toEqual([120_000, 8_000]);
});

test('who waits for a change that takes too long does not begin another', async () => {
  const bench = new Bench();
  bench.lease = { ...bench.lease, holder: 'node2' };
  bench.onPut = () => {
    bench.nowMs += 8_000;
  };
  const first = bench.names.ensure(bench.context, any(1, 'node2'));
  const second = bench.names.ensure(bench.context, any(1, 'node3'));
  expect([await first, await second]).toEqual([null, 'another change of the names took too long']);
  expect(bench.journal).toEqual(['put ANY 1 ("node2")']);
});

test('without proof there is no new epoch', async () => {
  const bench = new Bench();
  bench.lease = { ...bench.lease, holder: 'node2' };
  bench.putFails = true;
  expect(await bench.names.prepare(bench.context, null)).toBe('it does not answer');
  bench.putFails = false;
  bench.onPut = () => {
    bench.pid = 8;
  };
  expect(await bench.names.prepare(bench.context, null)).toBe('PostgreSQL was restarted meanwhile');
  bench.pid = 0;
  expect(await bench.names.prepare(bench.context, null)).toBe('PostgreSQL does not run');
});

test("before a server is started as primary its file says what the lease's newer rule says", async () => {
  const bench = new Bench();
  bench.pid = 0;
  bench.lease = { ...bench.lease, sync: { ...any(1, 'node3'), mode: 'on', next: any(1, 'node2') } };
  await bench.names.writeBeforeStart(bench.context);
  expect(bench.journal).toEqual(['set ANY 1 ("node2")']);
});
