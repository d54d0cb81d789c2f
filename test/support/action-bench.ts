/** One agent's action runner over a table in memory and a line that can be slow or lose answers, on a clock that tests move. */
import {
  type ActionContext,
  type ActionOutcome,
  ActionRunner,
  succeeded,
} from '../../agent/action-runner.ts';
import { LeaseKeeper } from '../../agent/lease-keeper.ts';
import type { Lease } from '../../core/model/lease.ts';
import { type Action, type ActionResult, actionId } from '../../core/model/operation.ts';
import { aLease, aRecord } from './host-states.ts';
import { createMemoryStore, createMemoryTable, type MemoryTable } from './memory-store.ts';
import { sampleAction, sampleOperation } from './samples.ts';
import { type Line, type LineCall, slowStore } from './slow-store.ts';

export const operation = 'c1-e1-a1';

export const anAction = (change: Partial<Action> = {}): Action => ({
  ...sampleAction,
  operation,
  action: actionId(change.verb ?? 'follow', change.node ?? 'node2', 1),
  node: 'node2',
  verb: 'follow',
  epoch: 1,
  args: { node: 'node1' },
  ...change,
});

export interface Bench {
  readonly table: MemoryTable;
  readonly runner: ActionRunner;
  readonly keeper: LeaseKeeper;
  readonly calls: LineCall[];
  /** Actions whose work was begun, in order. */
  readonly begun: Action[];
  /** Constant messages of what was logged, in order. */
  readonly logged: string[];
  readonly answered: { readonly token: string; readonly result: ActionResult }[];
  line: (call: LineCall) => Line;
  work: (
    action: Action,
    say: (line: string) => void,
    signal: AbortSignal,
    onlyWatches: () => void,
    prepared: () => Promise<void>,
  ) => Promise<ActionOutcome>;
  answering: () => Promise<'told' | 'unreachable'>;
}

interface Options {
  readonly lease?: Lease;
  readonly incarnation?: string;
  readonly readActions?: boolean;
  readonly actions?: readonly Action[];
}

export async function bench(options: Options = {}): Promise<Bench> {
  const table = createMemoryTable();
  table.record = aRecord({ operation: { id: operation, kind: 'switchover', executionArn: null } });
  table.lease = options.lease ?? aLease();
  table.operations.set(operation, { ...sampleOperation, id: operation });
  for (const action of options.actions ?? [anAction()])
    table.actions.set(`${operation}#${action.action}`, action);
  const incarnation = options.incarnation ?? 'i2';
  const now = (): number => Date.now();
  const made = {
    table,
    begun: [],
    logged: [],
    answered: [],
    line: () => ({}),
    work: async () => succeeded('done'),
    answering: async () => 'told',
  } as unknown as Bench;
  const { store, calls } = slowStore(createMemoryStore({ table }), (call) => made.line(call), now);
  const keeper = new LeaseKeeper({
    store,
    writer: { node: 'node2', incarnation },
    now,
    renewalChange: () => ({}),
    onHold: () => undefined,
    onBaton: () => undefined,
    onChange: () => undefined,
    log: () => undefined,
  });
  const execute = async (action: Action, run: ActionContext): Promise<ActionOutcome> => {
    made.begun.push(action);
    return made.work(action, run.say, run.signal, run.onlyWatches, run.prepared);
  };
  const runner = new ActionRunner({
    mayBegin: () => true,
    store,
    clients: {
      warm: () => undefined,
      startFailover: async () => 'exists',
      answerTask: async (token, result) => {
        made.answered.push({ token, result });
        return made.answering();
      },
    },
    keeper,
    node: 'node2',
    incarnation,
    executors: {
      follow: execute,
      'stop-and-release': execute,
      'end-receiver': execute,
      'acquire-and-promote': execute,
    },
    readActions: options.readActions ?? true,
    now,
    log: (_level, message) => void made.logged.push(message),
    onProgress: () => undefined,
  });
  await keeper.refresh();
  return Object.assign(made, { runner, keeper, calls });
}

export const item = (made: Bench, action = anAction()): Action => {
  const found = made.table.actions.get(`${operation}#${action.action}`);
  if (found === undefined) throw new Error('the action is gone');
  return found;
};
export const change = (made: Bench, part: Partial<Action>): void => {
  made.table.actions.set(`${operation}#${anAction().action}`, { ...item(made), ...part });
};
export const follow = (made: Bench, lines: string[] = [], action = anAction().action) =>
  made.runner.follow(operation, action, (line) => lines.push(line));
