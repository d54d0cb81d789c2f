/**
 * Step Functions, Run Command and EC2, as few typed calls. Each SDK client is loaded at its first use, because an idle agent
 * needs none of them in memory. Operating errors are values; what a service says about a thing that is gone (an execution, a task,
 * an instance) is a value too. Repeating any of these calls is harmless: executions have names, actions are claimed once,
 * and stopping is idempotent.
 */
import type { AwsConfig } from './dynamo-client.ts';
import { requestLimits } from './dynamo-client.ts';
import { type Answer, answerOf, type CallOptions, type Conditional, ok } from './store-answer.ts';

export interface AwsClients {
  /** Loads the clients ahead of their use; never rejects. */
  warm(services: readonly AwsService[]): Promise<void>;
  /**
   * `exists`: an execution of that name has ended, or runs with another input. The same name and input while it runs is
   * `started`, with the arn of that one.
   */
  startExecution(
    start: { stateMachineArn: string; name: string; input: string },
    o?: CallOptions,
  ): Promise<Answer<{ state: 'started'; executionArn: string } | { state: 'exists' }>>;
  describeExecution(executionArn: string, o?: CallOptions): Promise<Answer<'running' | 'ended' | 'absent'>>;
  /** `gone`: nobody waits for that token any more. */
  sendTaskSuccess(taskToken: string, output: unknown, o?: CallOptions): Promise<Answer<'taken' | 'gone'>>;
  sendTaskFailure(
    taskToken: string,
    failure: { error: string; cause: string },
    o?: CallOptions,
  ): Promise<Answer<'taken' | 'gone'>>;
  /** The command's id; refused when Run Command does not know that instance, or it is not running. */
  sendCommand(
    command: { document: string; instanceId: string; parameters: Readonly<Record<string, string>> },
    o?: CallOptions,
  ): Promise<Conditional<string>>;
  getCommandInvocation(
    command: { commandId: string; instanceId: string },
    o?: CallOptions,
  ): Promise<Answer<CommandInvocation>>;
  /** The value of a parameter that refers to a secret: `/aws/reference/secretsmanager/<name>`. */
  readSecret(name: string, o?: CallOptions): Promise<Answer<string>>;
  /** Asked for, not done: watch describeInstance. Refused: not in a state, or not of a kind, to be stopped, or unknown. */
  stopInstance(instanceId: string, stop: { force: boolean }, o?: CallOptions): Promise<Conditional<void>>;
  startInstance(instanceId: string, o?: CallOptions): Promise<Conditional<void>>;
  /** `absent`: EC2 does not know it, which proves nothing: only an observed `stopped` or `terminated` does. */
  describeInstance(instanceId: string, o?: CallOptions): Promise<Answer<InstanceState>>;
  /** The security groups of the instance's first interface; refused when EC2 does not know the instance. */
  describeSecurityGroups(instanceId: string, o?: CallOptions): Promise<Conditional<readonly string[]>>;
  /** In force at once, for new connections. Refused: a group or the instance is unknown, or it has several interfaces. */
  setSecurityGroups(
    instanceId: string,
    groups: readonly string[],
    o?: CallOptions,
  ): Promise<Conditional<void>>;
  destroy(): void;
}

export type AwsService = 'sfn' | 'ssm' | 'ec2';

export interface CommandInvocation {
  /** `pending` includes an invocation that is not visible yet: the service is eventually consistent. */
  readonly state: 'pending' | 'succeeded' | 'failed';
  /** Run Command's own word, such as `InProgress` or `DeliveryTimedOut`. */
  readonly status: string;
  /** Truncated by the service to 24,000 characters. */
  readonly output: string;
  readonly errorOutput: string;
}

const instanceStates = ['pending', 'running', 'shutting-down', 'terminated', 'stopping', 'stopped'] as const;

export type InstanceState = (typeof instanceStates)[number] | 'absent';

const callTimeoutMs = 5000;
/** Step Functions takes no more of a failure's error and cause. */
const mostErrorCharacters = 256;
const mostCauseCharacters = 32_768;
/** The least that Run Command takes; bounds only the start of a command. */
const deliveryTimeoutSeconds = 30;

export function createAwsClients(config: AwsConfig): AwsClients {
  const settings = {
    region: config.region,
    ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
    ...(config.credentials === undefined ? {} : { credentials: config.credentials }),
    maxAttempts: 3,
    requestHandler: requestLimits,
  };
  const sfn = lazily(async () => {
    const sdk = await import('@aws-sdk/client-sfn');
    return { sdk, client: new sdk.SFNClient(settings) };
  });
  const ssm = lazily(async () => {
    const sdk = await import('@aws-sdk/client-ssm');
    return { sdk, client: new sdk.SSMClient(settings) };
  });
  const ec2 = lazily(async () => {
    const sdk = await import('@aws-sdk/client-ec2');
    return { sdk, client: new sdk.EC2Client(settings) };
  });
  const all = { sfn, ssm, ec2 };
  return {
    async warm(services) {
      await Promise.allSettled(services.map((service) => all[service].get()));
    },
    ...stepFunctionsCalls(sfn),
    ...runCommandCalls(ssm),
    ...instanceCalls(ec2),
    destroy() {
      for (const client of Object.values(all)) client.destroy();
    },
  };
}

interface Lazy<T> {
  get(): Promise<T>;
  destroy(): void;
}

type StepFunctions = {
  sdk: typeof import('@aws-sdk/client-sfn');
  client: import('@aws-sdk/client-sfn').SFNClient;
};
type RunCommand = {
  sdk: typeof import('@aws-sdk/client-ssm');
  client: import('@aws-sdk/client-ssm').SSMClient;
};
type Instances = {
  sdk: typeof import('@aws-sdk/client-ec2');
  client: import('@aws-sdk/client-ec2').EC2Client;
};

/** Loaded once; a load that failed is tried again at the next call. */
function lazily<T extends { client: { destroy(): void } }>(load: () => Promise<T>): Lazy<T> {
  let loading: Promise<T> | null = null;
  let loaded: T | null = null;
  return {
    async get() {
      loading ??= load();
      try {
        loaded = await loading;
        return loaded;
      } catch (error) {
        loading = null;
        throw error;
      }
    },
    destroy() {
      loaded?.client.destroy();
      loading = null;
      loaded = null;
    },
  };
}

function stepFunctionsCalls(sfn: Lazy<StepFunctions>) {
  const answerTask = async (
    send: (loaded: StepFunctions, signal: AbortSignal) => Promise<unknown>,
    o?: CallOptions,
  ): Promise<Answer<'taken' | 'gone'>> =>
    await call<'taken' | 'gone'>(o, { TaskTimedOut: 'gone', TaskDoesNotExist: 'gone' }, async (signal) => {
      await send(await sfn.get(), signal);
      return 'taken';
    });
  return {
    startExecution: (start: { stateMachineArn: string; name: string; input: string }, o?: CallOptions) =>
      call<{ state: 'started'; executionArn: string } | { state: 'exists' }>(
        o,
        { ExecutionAlreadyExists: { state: 'exists' } },
        async (abortSignal) => {
          const { sdk, client } = await sfn.get();
          const { executionArn } = await client.send(new sdk.StartExecutionCommand(start), { abortSignal });
          return { state: 'started', executionArn: required(executionArn, 'executionArn') };
        },
      ),
    describeExecution: (executionArn: string, o?: CallOptions) =>
      call<'running' | 'ended' | 'absent'>(o, { ExecutionDoesNotExist: 'absent' }, async (abortSignal) => {
        const { sdk, client } = await sfn.get();
        const { status } = await client.send(new sdk.DescribeExecutionCommand({ executionArn }), {
          abortSignal,
        });
        return status === 'RUNNING' || status === 'PENDING_REDRIVE' ? 'running' : 'ended';
      }),
    sendTaskSuccess: (taskToken: string, output: unknown, o?: CallOptions) =>
      answerTask(({ sdk, client }, abortSignal) => {
        const command = new sdk.SendTaskSuccessCommand({ taskToken, output: JSON.stringify(output ?? null) });
        return client.send(command, { abortSignal });
      }, o),
    sendTaskFailure: (taskToken: string, failure: { error: string; cause: string }, o?: CallOptions) =>
      answerTask(({ sdk, client }, abortSignal) => {
        const command = new sdk.SendTaskFailureCommand({
          taskToken,
          error: failure.error.slice(0, mostErrorCharacters),
          cause: failure.cause.slice(0, mostCauseCharacters),
        });
        return client.send(command, { abortSignal });
      }, o),
  };
}

function runCommandCalls(ssm: Lazy<RunCommand>) {
  const invisible: CommandInvocation = { state: 'pending', status: 'Unknown', output: '', errorOutput: '' };
  return {
    sendCommand: async (
      command: { document: string; instanceId: string; parameters: Readonly<Record<string, string>> },
      o?: CallOptions,
    ): Promise<Conditional<string>> =>
      refusable(
        await call<string | null>(o, { InvalidInstanceId: null }, async (abortSignal) => {
          const { sdk, client } = await ssm.get();
          const parameters: Record<string, string[]> = {};
          for (const [name, value] of Object.entries(command.parameters)) parameters[name] = [value];
          const send = new sdk.SendCommandCommand({
            DocumentName: command.document,
            InstanceIds: [command.instanceId],
            Parameters: parameters,
            TimeoutSeconds: deliveryTimeoutSeconds,
          });
          const { Command } = await client.send(send, { abortSignal });
          return required(Command?.CommandId, 'CommandId');
        }),
      ),
    getCommandInvocation: (command: { commandId: string; instanceId: string }, o?: CallOptions) =>
      call<CommandInvocation>(o, { InvocationDoesNotExist: invisible }, async (abortSignal) => {
        const { sdk, client } = await ssm.get();
        const get = new sdk.GetCommandInvocationCommand({
          CommandId: command.commandId,
          InstanceId: command.instanceId,
        });
        const found = await client.send(get, { abortSignal });
        return {
          state: invocationState(found.Status),
          status: found.StatusDetails ?? found.Status ?? '',
          output: found.StandardOutputContent ?? '',
          errorOutput: found.StandardErrorContent ?? '',
        };
      }),
    readSecret: (name: string, o?: CallOptions) =>
      call<string>(o, {}, async (abortSignal) => {
        const { sdk, client } = await ssm.get();
        const get = new sdk.GetParameterCommand({ Name: name, WithDecryption: true });
        return required((await client.send(get, { abortSignal })).Parameter?.Value, 'Parameter.Value');
      }),
  };
}

function invocationState(status: string | undefined): CommandInvocation['state'] {
  if (status === 'Success') return 'succeeded';
  const pending = ['Pending', 'InProgress', 'Delayed', 'Cancelling'];
  return status === undefined || pending.includes(status) ? 'pending' : 'failed';
}

function instanceCalls(ec2: Lazy<Instances>) {
  const cannot = {
    IncorrectInstanceState: null,
    'InvalidInstanceID.NotFound': null,
    UnsupportedOperation: null,
    OperationNotPermitted: null,
  };
  const cannotSetGroups = {
    ...cannot,
    'InvalidGroup.NotFound': null,
    // An instance with several interfaces has no groups of its own.
    InvalidInstanceID: null,
  };
  return {
    stopInstance: async (
      instanceId: string,
      stop: { force: boolean },
      o?: CallOptions,
    ): Promise<Conditional<void>> =>
      refusable(
        await call<undefined | null>(o, cannot, async (abortSignal) => {
          const { sdk, client } = await ec2.get();
          const command = new sdk.StopInstancesCommand({ InstanceIds: [instanceId], Force: stop.force });
          await client.send(command, { abortSignal });
        }),
      ),
    startInstance: async (instanceId: string, o?: CallOptions): Promise<Conditional<void>> =>
      refusable(
        await call<undefined | null>(o, cannot, async (abortSignal) => {
          const { sdk, client } = await ec2.get();
          await client.send(new sdk.StartInstancesCommand({ InstanceIds: [instanceId] }), { abortSignal });
        }),
      ),
    describeInstance: (instanceId: string, o?: CallOptions) =>
      call<InstanceState>(o, { 'InvalidInstanceID.NotFound': 'absent' }, async (abortSignal) => {
        const found = await findInstance(await ec2.get(), instanceId, abortSignal);
        return instanceStates.find((state) => state === found?.State?.Name) ?? 'absent';
      }),
    describeSecurityGroups: async (
      instanceId: string,
      o?: CallOptions,
    ): Promise<Conditional<readonly string[]>> =>
      refusable(
        await call<readonly string[] | null>(o, cannot, async (abortSignal) => {
          const found = await findInstance(await ec2.get(), instanceId, abortSignal);
          if (found === undefined) return null;
          return (found.SecurityGroups ?? []).flatMap(({ GroupId }) => GroupId ?? []);
        }),
      ),
    setSecurityGroups: async (
      instanceId: string,
      groups: readonly string[],
      o?: CallOptions,
    ): Promise<Conditional<void>> =>
      refusable(
        await call<undefined | null>(o, cannotSetGroups, async (abortSignal) => {
          const { sdk, client } = await ec2.get();
          const command = new sdk.ModifyInstanceAttributeCommand({
            InstanceId: instanceId,
            Groups: [...groups],
          });
          await client.send(command, { abortSignal });
        }),
      ),
  };
}

async function findInstance({ sdk, client }: Instances, instanceId: string, abortSignal: AbortSignal) {
  const command = new sdk.DescribeInstancesCommand({ InstanceIds: [instanceId] });
  const { Reservations } = await client.send(command, { abortSignal });
  return Reservations?.flatMap(({ Instances: found }) => found ?? []).find(
    (instance) => instance.InstanceId === instanceId,
  );
}

/** `named`: errors, by name, that are answers. */
async function call<T>(
  o: CallOptions | undefined,
  named: Readonly<Record<string, T>>,
  send: (abortSignal: AbortSignal) => Promise<T>,
): Promise<Answer<T>> {
  return await answerOf(named, () => send(AbortSignal.timeout(o?.timeoutMs ?? callTimeoutMs)));
}

function refusable<T>(answer: Answer<T | null>): Conditional<T> {
  if (answer.kind !== 'ok') return answer;
  return answer.value === null ? { kind: 'refused' } : ok(answer.value);
}

function required(value: string | undefined, name: string): string {
  if (value === undefined || value === '') throw new Error(`the service answered without ${name}`);
  return value;
}
