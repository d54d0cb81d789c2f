/**
 * The workflow's ports over AWS: Run Command with the two documents of the stack, EC2, Step Functions. What a host prints as
 * proof of a fence is parsed here, strictly: a proof that cannot be read is none.
 */
import type { AwsClients, CommandInvocation } from '../aws/clients.ts';
import { type Answer, type Conditional, ok } from '../aws/store-answer.ts';
import type { Executions, FenceOutcome, Hosts, Tasks } from './ports.ts';

export interface StackNames {
  readonly runActionDocument: string;
  readonly fenceDocument: string;
  readonly stateMachineArn: string;
}

export interface AwsPorts {
  readonly hosts: Hosts;
  readonly executions: Executions;
  readonly tasks: Tasks;
}

export function createAwsPorts(clients: AwsClients, names: StackNames): AwsPorts {
  return {
    hosts: hostsOver(clients, names),
    executions: executionsOver(clients, names),
    tasks: tasksOver(clients),
  };
}

function hostsOver(clients: AwsClients, names: StackNames): Hosts {
  return {
    runAction: async ({ instanceId, operation, action }) =>
      accepted(
        await clients.sendCommand({
          document: names.runActionDocument,
          instanceId,
          parameters: { Operation: operation, Action: action },
        }),
        instanceId,
      ),
    fence: async ({ instanceId, epoch }) =>
      accepted(
        await clients.sendCommand({
          document: names.fenceDocument,
          instanceId,
          parameters: { Epoch: String(epoch) },
        }),
        instanceId,
      ),
    fenceOutcome: async (command) => {
      const answer = await clients.getCommandInvocation(command);
      return answer.kind === 'ok' ? ok(readFence(answer.value)) : answer;
    },
    stopInstance: async (instanceId) =>
      accepted(await clients.stopInstance(instanceId, { force: true }), instanceId),
    instanceState: (instanceId) => clients.describeInstance(instanceId),
    startInstance: async (instanceId) => accepted(await clients.startInstance(instanceId), instanceId),
    securityGroups: async (instanceId) =>
      accepted(await clients.describeSecurityGroups(instanceId), instanceId),
    setSecurityGroups: async (instanceId, groups) =>
      accepted(await clients.setSecurityGroups(instanceId, groups), instanceId),
  };
}

function executionsOver(clients: AwsClients, names: StackNames): Executions {
  return {
    status: (executionArn) => clients.describeExecution(executionArn),
    start: async (request) => {
      const answer = await clients.startExecution({ ...request, stateMachineArn: names.stateMachineArn });
      return answer.kind === 'ok' ? ok(answer.value.state) : answer;
    },
  };
}

function tasksOver(clients: AwsClients): Tasks {
  return {
    succeed: (token, output) => clients.sendTaskSuccess(token, output),
    fail: (token, error, result) => clients.sendTaskFailure(token, { error, cause: JSON.stringify(result) }),
  };
}

/** A service that does not know the instance cannot reach it. */
function accepted<T>(answer: Conditional<T>, instanceId: string): Answer<T> {
  if (answer.kind === 'refused') return { kind: 'unreachable', message: `${instanceId} cannot be reached` };
  return answer;
}

/** The last line of the output is the proof: `{"fenced":true,"epoch":7}`. */
export function readFence(invocation: CommandInvocation): FenceOutcome {
  if (invocation.state === 'pending') return { kind: 'pending' };
  const last = invocation.output.trimEnd().split('\n').at(-1) ?? '';
  if (invocation.state === 'failed')
    return {
      kind: 'failed',
      message: `${invocation.status}: ${(invocation.errorOutput || last).slice(0, 500)}`,
    };
  try {
    const proof: unknown = JSON.parse(last);
    if (typeof proof === 'object' && proof !== null) {
      const { fenced, epoch } = proof as { fenced?: unknown; epoch?: unknown };
      if (fenced === true && typeof epoch === 'number' && Number.isSafeInteger(epoch) && epoch > 0)
        return { kind: 'fenced', epoch };
    }
  } catch {
    // Not JSON: no proof, as below.
  }
  return { kind: 'failed', message: `the last line is no proof: ${last.slice(0, 500)}` };
}
