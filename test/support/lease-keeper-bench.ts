/**
 * A lease keeper on a line that a test can slow down or cut, with a clock that the test moves (vitest's fake timers must be in
 * force): what the guard was told, and every call that was made.
 */
import { expect, vi } from 'vitest';
import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import { LeaseKeeper } from '../../agent/lease-keeper.ts';
import type { LeaseView } from '../../agent/lease-keeper-deps.ts';
import type { FailsafeAnswer, FailsafeAsk } from '../../core/lease/failsafe.ts';
import type { Hold } from '../../core/lease/lease-clock.ts';
import type { Lease } from '../../core/model/lease.ts';
import { aLease, aRecord } from './host-states.ts';
import { createMemoryStore, createMemoryTable, type MemoryTable } from './memory-store.ts';
import { type Line, type LineCall, slowStore } from './slow-store.ts';

export const me = { node: 'node1', incarnation: 'i1' };
export const ttlMs = 2_000;
export const heartbeatMs = 500;
export const held = aLease({ ttlMs, seq: 10 });
const record = aRecord({ spec: { ...aRecord().spec, ttlMs, heartbeatMs } });

export const now = (): number => Date.now();
export const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

export interface Bench {
  readonly keeper: LeaseKeeper;
  /** As the keeper has it: a test may put other calls in. */
  readonly store: ClusterStore;
  readonly table: MemoryTable;
  readonly calls: LineCall[];
  /** What the guard was told, in order. */
  readonly guard: (Hold | null)[];
  readonly changes: () => number;
  readonly logged: [string, Record<string, unknown>][];
  line: (call: LineCall) => Line;
  /** It lets its lease run out. */
  lapses: boolean;
  /** How a member answers in failsafe mode; null: it does not. As it is: there is no failsafe mode. */
  member: ((member: string, ask: FailsafeAsk) => Promise<FailsafeAnswer | null>) | null;
  /** Whom its renewals name as members. */
  members: readonly string[] | null;
  readonly asked: { readonly member: string; readonly ask: FailsafeAsk; readonly atMs: number }[];
  /** What was said of failsafe mode, in order. */
  readonly failsafe: { readonly active: boolean; readonly reason: string }[];
}

export function bench(lease: Lease | null = held, writer = me): Bench {
  const table = createMemoryTable();
  table.record = record;
  table.lease = lease;
  const guard: (Hold | null)[] = [];
  let changes = 0;
  const made: Bench = {
    table,
    guard,
    changes: () => changes,
    logged: [],
    line: () => ({}),
    lapses: false,
    member: null,
    members: null,
    asked: [],
    failsafe: [],
    calls: [],
    keeper: undefined as unknown as LeaseKeeper,
    store: undefined as unknown as ClusterStore,
  };
  const { store, calls } = slowStore(createMemoryStore({ table }), (call) => made.line(call), now);
  const keeper = new LeaseKeeper({
    store,
    writer,
    now,
    renewalChange: () => (made.lapses ? null : made.members === null ? {} : { members: made.members }),
    onHold: (hold) => guard.push(hold),
    failsafe: {
      cluster: 'main',
      ask: async (member, ask) => {
        made.asked.push({ member, ask, atMs: now() });
        return made.member === null ? null : await made.member(member, ask);
      },
      onFailsafe: (active, reason) => made.failsafe.push({ active, reason }),
    },
    onBaton: () => undefined,
    onChange: () => {
      changes += 1;
    },
    log: (message, fields) => made.logged.push([message, fields]),
  });
  return Object.assign(made, { keeper, calls, store });
}

/** A keeper that holds the lease, its last renewal sent at this instant. */
export async function holder(): Promise<Bench> {
  const made = bench();
  made.keeper.start();
  await pass(0);
  await pass(heartbeatMs);
  expect(made.keeper.view().holdStage).toBe('valid');
  return made;
}

/** A member's answer: the promise, unless `change` says otherwise. */
export const promise = (
  member: string,
  { epoch, incarnation, nonce }: FailsafeAsk,
  change: Partial<FailsafeAnswer> = {},
): FailsafeAnswer => ({
  member,
  promised: true,
  rule: 'promised',
  epoch,
  incarnation,
  nonce,
  ...change,
});

export const renewals = (calls: readonly LineCall[]): readonly LineCall[] =>
  calls.filter(({ kind }) => kind === 'renew');
export const stage = (made: Bench): LeaseView['holdStage'] => made.keeper.view().holdStage;
export const takenBy = (node: string, lease: Lease): Lease => ({
  ...lease,
  holder: node,
  incarnation: `of ${node}`,
  epoch: lease.epoch + 1,
  seq: lease.seq + 2,
});
