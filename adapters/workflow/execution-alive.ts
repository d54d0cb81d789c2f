/**
 * Is anybody still carrying on the operation in the record? Step Functions knows of its executions; an operation that an
 * operator runs from a terminal is known by its progress, because it raises the record's version every few seconds.
 */
import type { CurrentOperation } from '../../core/model/cluster-record.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import type { WorkflowDeps } from './ports.ts';
import { need } from './workflow-error.ts';

/** An operation without an execution that has changed nothing for so long counts as dead. Taking over a living one is safe. */
export const directSilenceMs = 15_000;
const readEveryMs = 1_000;

/** Throws the store's error when Step Functions cannot be asked: silence of a service is no proof of death. */
export async function isCarriedOn(
  deps: WorkflowDeps,
  store: ClusterStore,
  current: CurrentOperation,
): Promise<boolean> {
  if (current.executionArn?.startsWith('arn:')) {
    const status = need(await deps.executions.status(current.executionArn));
    if (status !== 'unknowable') return status === 'running';
  }
  const deadlineMs = deps.now() + directSilenceMs;
  let version: number | null = null;
  while (deps.now() < deadlineMs) {
    const { record } = need(await store.readHead());
    if (record?.operation?.id !== current.id) return false;
    if (version !== null && record.version !== version) return true;
    version = record.version;
    await deps.sleep(readEveryMs);
  }
  return false;
}
