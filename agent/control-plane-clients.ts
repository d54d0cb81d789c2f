/**
 * What an agent asks of Step Functions: start a failover, answer a task's token. The client is loaded when it is first
 * needed or when trouble is suspected (`warm`), so that an idle agent does not carry it in memory.
 */
import type { ActionResult } from '../core/model/operation.ts';
import type { Log } from './emit.ts';

export interface ControlPlaneClients {
  /** Loads what an operation will need; called when the lease falls silent or an operation begins. */
  warm(): void;
  /** Byte-identical input under one name: only the first of several agents starts it. */
  startFailover(name: string, input: string): Promise<'started' | 'exists' | 'unreachable'>;
  answerTask(token: string, result: ActionResult): Promise<void>;
}

export function createControlPlaneClients(deps: {
  region: string;
  stateMachineArn: string;
  log: Log;
}): ControlPlaneClients {
  let loading: ReturnType<typeof load> | null = null;
  const client = (): ReturnType<typeof load> => {
    loading ??= load(deps.region);
    return loading;
  };
  return {
    warm: () => void client().catch(() => undefined),
    startFailover: async (name, input) => {
      try {
        await (await client()).startExecution({ stateMachineArn: deps.stateMachineArn, name, input });
        return 'started';
      } catch (error) {
        if (errorName(error) === 'ExecutionAlreadyExists') return 'exists';
        deps.log('warn', 'starting the failover failed', {
          error: String(error),
          error_kind: errorName(error),
        });
        return 'unreachable';
      }
    },
    answerTask: async (taskToken, result) => {
      const text = JSON.stringify(result);
      try {
        const sfn = await client();
        if (result.ok) await sfn.sendTaskSuccess({ taskToken, output: text });
        else
          await sfn.sendTaskFailure({ taskToken, error: result.error, cause: text.slice(0, longestCause) });
      } catch (error) {
        // The task timed out or was answered by the function that ordered it: its result is in DynamoDB all the same.
        deps.log('info', 'task token not taken', { error_kind: errorName(error) });
      }
    },
  };
}

/** What Step Functions takes as a cause, in characters. */
const longestCause = 32_000;

function errorName(error: unknown): string {
  return error instanceof Error ? error.name : 'unknown';
}

async function load(region: string) {
  const { SFN } = await import('@aws-sdk/client-sfn');
  return new SFN({ region, maxAttempts: 3 });
}
