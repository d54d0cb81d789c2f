/** What whole-cluster tests do through the AWS endpoints: start an execution as an operator would, and wait for its end. */
import { SFN } from '@aws-sdk/client-sfn';
import { expect } from 'vitest';
import type { ClusterEvent } from '../../../core/model/cluster-event.ts';
import type { ClusterHandle } from '../../../local/runtime/cluster-handle.ts';

export interface Ended {
  readonly status: string;
  readonly error: string;
  readonly cause: string;
  readonly arn: string;
}

/** What `operate` returns when all went well; a failure shows with its error and cause in the difference. */
export const succeeded = { status: 'SUCCEEDED', error: '', cause: '', arn: expect.any(String) };

export function stepFunctionsOf(cluster: ClusterHandle): SFN {
  const { region, awsEndpointUrl, accessKeyId, secretAccessKey } = cluster.endpoints();
  return new SFN({ region, endpoint: awsEndpointUrl, credentials: { accessKeyId, secretAccessKey } });
}

const pollMs = 50;

/** Runs the state machine with that input to its end, whatever the end is. */
export async function operate(cluster: ClusterHandle, input: object, timeoutMs = 60_000): Promise<Ended> {
  const sfn = stepFunctionsOf(cluster);
  try {
    const { executionArn = '' } = await sfn.startExecution({
      stateMachineArn: cluster.endpoints().stateMachineArn,
      input: JSON.stringify({ cluster: 'main', ...input }),
    });
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const now = await sfn.describeExecution({ executionArn });
      if (now.status !== 'RUNNING') {
        return {
          status: now.status ?? '',
          error: now.error ?? '',
          cause: now.cause ?? '',
          arn: executionArn,
        };
      }
      if (performance.now() > deadline)
        throw new Error(`still running after ${timeoutMs} ms: ${executionArn}`);
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  } finally {
    sfn.destroy();
  }
}

/** Events of the cluster, oldest first. */
export async function eventsOf(cluster: ClusterHandle): Promise<readonly ClusterEvent[]> {
  const answer = await cluster.store().listEvents(500);
  if (answer.kind !== 'ok') throw new Error(`events: ${answer.kind}`);
  return answer.value.toReversed();
}

/** What happened since a moment, as kinds with who did it. */
export async function eventsSince(
  cluster: ClusterHandle,
  before: readonly ClusterEvent[],
): Promise<string[]> {
  const known = new Set(before.map((event) => event.id));
  return (await eventsOf(cluster))
    .filter((event) => !known.has(event.id))
    .map((event) => `${event.who} ${event.kind}`);
}

/** Where a node's data really is: not below the project where the server's user cannot reach that. */
export async function dataDirectoryOf(cluster: ClusterHandle, node: string): Promise<string> {
  const [row] = await cluster.query<{ data_directory: string }>(node, 'show data_directory');
  if (row === undefined) throw new Error(`${node} does not say where its data is`);
  return row.data_directory;
}
