/**
 * For whoever wants to react to operations: the pattern by which EventBridge's default bus is asked for those that have ended. Step Functions
 * puts these events there by itself, so nothing of ours has to live, or may do more, for it.
 */
import type { EventPattern } from 'aws-cdk-lib/aws-events';
import type { IStateMachine } from 'aws-cdk-lib/aws-stepfunctions';

export type OperationEnding = 'SUCCEEDED' | 'FAILED' | 'TIMED_OUT' | 'ABORTED';

/** Left out: however they ended. `FAILED` are the refused, the aborted, the superseded and the failed ones; the execution's error says which. */
export function operationsEnded(
  machine: IStateMachine,
  endings: readonly OperationEnding[] = ['SUCCEEDED', 'FAILED', 'TIMED_OUT', 'ABORTED'],
): EventPattern {
  return {
    source: ['aws.states'],
    detailType: ['Step Functions Execution Status Change'],
    detail: { stateMachineArn: [machine.stateMachineArn], status: [...endings] },
  };
}
