/**
 * What an agent asks of Step Functions: start a failover, answer a task's token. The client is loaded when it is first
 * needed or when trouble is suspected (`warm`), so that an idle agent does not carry it in memory.
 */
import type { AwsClients } from '../adapters/aws/clients.ts';
import type { ActionResult } from '../core/model/operation.ts';
import type { Log } from './emit.ts';

export interface ControlPlaneClients {
  /** Loads what an operation will need; called when the lease falls silent or an operation begins. */
  warm(): void;
  /** Byte-identical input under one name: only the first of several agents starts it. */
  startFailover(name: string, input: string): Promise<'started' | 'exists' | 'unreachable'>;
  /** `told` also when nobody waits for it any more. */
  answerTask(token: string, result: ActionResult): Promise<'told' | 'unreachable'>;
}

export function createControlPlaneClients(deps: {
  aws: AwsClients;
  stateMachineArn: string;
  log: Log;
}): ControlPlaneClients {
  const { aws, stateMachineArn, log } = deps;
  return {
    warm: () => void aws.warm(['sfn']),
    startFailover: async (name, input) => {
      const answer = await aws.startExecution({ stateMachineArn, name, input });
      if (answer.kind === 'ok') return answer.value.state;
      log('warn', 'starting the failover failed', { error_kind: answer.kind, error: answer.message });
      return 'unreachable';
    },
    answerTask: async (token, result) => {
      const answer = result.ok
        ? await aws.sendTaskSuccess(token, result)
        : await aws.sendTaskFailure(token, { error: result.error, cause: JSON.stringify(result) });
      // Gone: the task timed out, or the function that ordered it has answered. The result is in DynamoDB all the same.
      if (answer.kind === 'ok') return 'told';
      log('warn', 'task token not answered', { error_kind: answer.kind, error: answer.message });
      return answer.kind === 'unreachable' || answer.kind === 'throttled' ? 'unreachable' : 'told';
    },
  };
}
