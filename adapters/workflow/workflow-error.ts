/**
 * Errors that end a state of the workflow. Their `name` is what the state machine matches: an operating error of the store
 * (`StoreUnreachable`, `StoreThrottled`) is retried there, everything else leads to a refusal or to the compensation.
 */
import type { Answer, Conditional } from '../aws/store-answer.ts';

export const workflowErrors = [
  // Refusals of begin: nothing has been claimed.
  'OperationInProgress',
  'UnknownCluster',
  'UnknownTarget',
  'TargetNotEligible',
  'NoCandidate',
  'ClusterNotReady',
  // Another operation is the current one.
  'OperationSuperseded',
  // Lead to the compensation.
  'LeaseStillHeld',
  'HandoverBroken',
  'AnswersOutdated',
  'TargetLostLease',
  'NotFenced',
  'ActionFailed',
  // Retried.
  'StoreUnreachable',
  'StoreThrottled',
  'StoreDenied',
] as const;

export type WorkflowErrorName = (typeof workflowErrors)[number];

export class WorkflowError extends Error {
  constructor(name: WorkflowErrorName, message: string) {
    super(message);
    this.name = name;
  }
}

const storeErrors = {
  unreachable: 'StoreUnreachable',
  throttled: 'StoreThrottled',
  denied: 'StoreDenied',
} as const;

/** The value of an answer; an operating error of the store is thrown for the state machine to retry. */
export function need<T>(answer: Answer<T>): T {
  if (answer.kind === 'ok') return answer.value;
  throw new WorkflowError(storeErrors[answer.kind], answer.message);
}

/** As `need`; null when the condition did not hold. */
export function needOrRefused<T>(answer: Conditional<T>): { readonly value: T } | null {
  return answer.kind === 'refused' ? null : { value: need(answer) };
}
