/**
 * What a Leasehold cluster itself has written down of the time since a blow: operations with their steps and actions, and events. All
 * times are of this machine's clock, for every process of the cluster runs on it.
 */
import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import { answered } from '../../cli/cluster/watch-lease.ts';
import { summarise } from '../../cli/operation-history.ts';
import type { Action, Operation } from '../../core/model/operation.ts';
import type { OperationTimes, SystemHistory } from './system-under-test.ts';

const mostOperations = 10;
const mostEvents = 200;

/** Throws when DynamoDB does not answer. */
export async function leaseholdHistory(store: ClusterStore, since: Date): Promise<SystemHistory> {
  const isNew = ({ startedAt, status }: Operation) =>
    status !== 'running' && Date.parse(startedAt) >= since.getTime();
  const ended = answered(await store.listOperations(mostOperations))
    .filter(isNew)
    .reverse();
  const operations: OperationTimes[] = [];
  for (const operation of ended) {
    operations.push(timesOf(operation, answered(await store.readOperation(operation.id)).actions));
  }
  const events = answered(await store.listEvents(mostEvents))
    .map(({ kind, time }) => ({ name: kind, afterMs: Date.parse(time) - since.getTime() }))
    .filter(({ afterMs }) => afterMs >= 0)
    .sort((left, right) => left.afterMs - right.afterMs);
  return { operations, events };
}

/** An action that hosts do side by side counts with the longest. */
export function timesOf(operation: Operation, actions: readonly Action[]): OperationTimes {
  const { kind, ms, steps } = summarise(operation);
  const done = actions.flatMap(({ verb, result }) => (result === null ? [] : [{ verb, ms: result.ms }]));
  return {
    kind,
    ms: ms ?? 0,
    // What is `stable` is over.
    steps: steps.flatMap(({ step, ms: took }) =>
      took === null || step === 'stable' ? [] : [{ name: step, ms: took }],
    ),
    actions: [...Map.groupBy(done, ({ verb }) => verb)].map(([verb, own]) => ({
      name: verb,
      ms: Math.max(...own.map((one) => one.ms)),
    })),
  };
}
