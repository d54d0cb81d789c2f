/**
 * AWS as the cluster sees it, put together: everything that the synthesised template holds, behind one port. The state machine
 * invokes the functions that CDK packaged, Run Command reaches the hosts' workers, EC2 reaches the host driver, and the
 * schedules fire.
 */
import { join } from 'node:path';
import { AslTaskError } from '../../adapters/asl/failure.ts';
import { isObject, type Json } from '../../adapters/asl/json.ts';
import type { InvokeTask } from '../../adapters/asl/run.ts';
import { sleepMs } from '../../adapters/clock.ts';
import { AwsError } from '../aws/aws-error.ts';
import { openDynamoDb } from '../aws/dynamodb.ts';
import { applicationOf, meterDynamoDb } from '../aws/dynamodb-usage.ts';
import { type Ec2, type HostDriver, openEc2 } from '../aws/ec2.ts';
import { createLambdaRunner, type LambdaRunner } from '../aws/lambda.ts';
import { commandDelivery, type LatencyProfile, latencyOf } from '../aws/latency-profile.ts';
import { runSchedules } from '../aws/schedule.ts';
import { type NewSecret, openSecretsManager, type SecretsManager } from '../aws/secrets-manager.ts';
import { type AwsServer, startAwsServer } from '../aws/server.ts';
import { openSsm } from '../aws/ssm.ts';
import { createStepFunctions } from '../aws/step-functions.ts';
import type { Stack } from '../aws/template.ts';
import { type UsageLine, UsageMeter } from '../aws/usage-meter.ts';
import { meterLambda, shortName } from './lambda-usage.ts';

export interface AwsOptions {
  readonly stack: Stack;
  /** Tables, executions, commands and instances are kept below it. */
  readonly folder: string;
  readonly port: number;
  readonly latency: LatencyProfile;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly hosts: readonly { readonly id: string; readonly instanceId: string; readonly address: string }[];
  readonly hostDriver: HostDriver;
  /** The hosts need certificates: they are signed within seconds rather than within a minute. */
  readonly signsCertificates: boolean;
  /** Secrets that are made where they are not there, and rotated by the stack's function. */
  readonly secrets: readonly Omit<NewSecret, 'rotationFunctionArn'>[];
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields?: object) => void;
}

export interface Aws {
  readonly server: AwsServer;
  readonly ec2: Ec2;
  readonly secretsManager: SecretsManager;
  /** All that AWS would have counted since the start. */
  usage(): readonly UsageLine[];
  /** Takes up executions that an earlier runtime left open, and starts the schedules. Once the hosts are booted. */
  resume(): void;
  /** The executions under way are left as they are: the next runtime resumes them. */
  close(): Promise<void>;
}

/** Processes of functions stay for so long without work: an idle cluster's next operation starts none. */
const warmMs = 24 * 3_600_000;

/** Heartbeats are quicker here too. */
const signEveryMs = 1_000;

/** The security group that allows nothing. */
export const isolatedGroupId = 'sg-00000000000000002';

const securityGroups = [
  { groupId: 'sg-00000000000000001', groupName: 'leasehold-hosts', description: 'database and proxy hosts' },
  { groupId: isolatedGroupId, groupName: 'leasehold-isolated', description: 'no traffic at all' },
];

export async function startAws(options: AwsOptions): Promise<Aws> {
  const { stack, folder, log } = options;
  const delayMs = latencyOf(options.latency);
  const place = { region: stack.region, accountId: stack.accountId };
  const dynamoDb = await openDynamoDb({ folder: join(folder, 'dynamodb'), ...place });
  await dynamoDb.createTables(stack.tables);
  let endpointUrl = '';
  const usage = new UsageMeter();
  const runner = createLambdaRunner({
    functions: stack.functions,
    region: stack.region,
    endpointUrl: () => endpointUrl,
    credentials: options.credentials,
    logFolder: join(folder, 'lambda'),
    idleMs: warmMs,
  });
  const lambda = meterLambda(runner, usage);
  const ec2 = openEc2({
    folder: join(folder, 'ec2'),
    ...place,
    hosts: options.hosts.map(({ id, instanceId, address }) => ({
      instanceId,
      name: id,
      privateIp: address,
      securityGroupIds: [securityGroups[0]?.groupId ?? ''],
    })),
    securityGroups,
    hostDriver: options.hostDriver,
  });
  const ssm = openSsm({
    folder: join(folder, 'ssm'),
    documents: stack.documents,
    accountId: stack.accountId,
    instances: () => ec2.instances.list(),
    deliveryMs: () => delayMs('ssm', commandDelivery),
  });
  const stepFunctions = createStepFunctions({
    stateMachines: stack.stateMachines,
    folder: join(folder, 'step-functions'),
    invokeTask: late(
      delayMs,
      whileTheyAreThere(invokeFunction(lambda), (service) => server.away(service) !== null),
    ),
    ...place,
    onEvent: (_executionArn, { type }) =>
      usage.add({ service: 'states', operation: type, what: '', who: '' }),
    onFault: (executionArn, error) => log('error', 'execution could not be kept', { executionArn, error }),
  });
  const secretsManager = openSecrets(options, lambda);
  const server = await startAwsServer({
    port: options.port,
    delayMs,
    dynamoDb: meterDynamoDb(dynamoDb, usage),
    lambda,
    stepFunctions: { handle: (operation, input) => stepFunctions.handle(operation, input) },
    ssm,
    ec2,
    secretsManager,
    onRequest: (service, operation, headers) => {
      // What DynamoDB and functions do is counted with what it consumes.
      if (service === 'dynamodb' || service === 'lambda') return;
      usage.add({ service, operation, what: '', who: applicationOf(headers) });
    },
    onBug: (error) =>
      log('error', 'bug in an AWS service', { error: error instanceof Error ? error.stack : String(error) }),
  });
  endpointUrl = server.endpoint;
  // The first operation orders something from every host at once; cold starts would take the CPU from its heartbeats.
  const orders = options.hosts.length;
  await lambda.prewarm((name) => {
    if (name.endsWith('-certify')) return options.signsCertificates ? 1 : 0;
    // No client waits for a rotation.
    return name.endsWith('-rotate') ? 0 : name.endsWith('-order') ? orders : 1;
  });
  let schedules: ReturnType<typeof runSchedules> | null = null;
  return {
    server,
    ec2,
    secretsManager,
    usage: () => usage.lines(),
    resume() {
      stepFunctions.resume();
      schedules = runSchedules({
        schedules: stack.schedules,
        ...place,
        everyMs: (targets, rateMs) =>
          options.signsCertificates && targets.some(({ arn }) => arn.endsWith('-certify'))
            ? signEveryMs
            : rateMs,
        invoke: (arn, input) => {
          usage.add({ service: 'events', operation: 'Invocation', what: shortName(arn), who: '' });
          return callTarget(arn, input, lambda, stepFunctions);
        },
        onFailure: ({ name }, error) =>
          log('warn', 'a schedule failed', { schedule: name, error: error.message }),
      });
    },
    async close() {
      schedules?.stop();
      stepFunctions.close();
      secretsManager.close();
      ssm.close();
      await server.close();
      await lambda.close();
      await dynamoDb.close();
    },
  };
}

function openSecrets({ stack, folder, secrets, log }: AwsOptions, lambda: LambdaRunner): SecretsManager {
  const secretsManager = openSecretsManager({
    file: join(folder, 'secrets-manager.json'),
    ...{ region: stack.region, accountId: stack.accountId },
    invoke: (functionArn, payload) => lambda.invoke(functionArn, payload),
    onFailure: (secret, step, error) => log('warn', 'a rotation has to wait', { secret, step, error }),
  });
  const rotation = stack.functions.find(({ name }) => name.endsWith('-rotate'));
  for (const secret of secrets)
    secretsManager.ensure({ ...secret, rotationFunctionArn: rotation?.arn ?? null });
  return secretsManager;
}

/** How often a task looks whether Step Functions are back; the end of the outage bounds it. */
const outageLookMs = 100;

/** Executions stand still while Step Functions are away, and their tasks fail as on AWS while Lambda is. */
export function whileTheyAreThere(
  invoke: InvokeTask,
  isAway: (service: 'states' | 'lambda') => boolean,
): InvokeTask {
  return async (task) => {
    while (isAway('states')) await sleepMs(outageLookMs);
    if (isAway('lambda')) throw new AslTaskError('Lambda.ServiceException', 'Lambda is away');
    return invoke(task);
  };
}

/** A task takes Step Functions a transition and Lambda an invocation more. */
function late(delayMs: ReturnType<typeof latencyOf>, invoke: InvokeTask): InvokeTask {
  return async (task) => {
    const ms = delayMs('states', 'Transition') + delayMs('lambda', 'Invoke');
    if (ms > 0) await sleepMs(ms);
    return invoke(task);
  };
}

/** Tasks of the state machine: the result and the errors are those of Step Functions' Lambda integration. */
export function invokeFunction(lambda: LambdaRunner): InvokeTask {
  return async ({ resource, arguments: given }) => {
    if (!resource.startsWith('arn:aws:states:::lambda:invoke')) {
      throw new AslTaskError('States.Runtime', `the resource ${resource} is not played`);
    }
    const { FunctionName: name, Payload: payload = {} } = isObject(given) ? given : {};
    try {
      const answer = await lambda.invoke(String(name), JSON.stringify(payload));
      const value = JSON.parse(answer.payload) as Json;
      if (answer.functionError !== undefined) throw functionFailure(value, answer.payload);
      return { ExecutedVersion: '$LATEST', Payload: value, StatusCode: 200 };
    } catch (error) {
      if (error instanceof AwsError) throw new AslTaskError(`Lambda.${error.code}`, error.message);
      throw error;
    }
  };
}

function functionFailure(value: Json, cause: string): AslTaskError {
  const errorType =
    isObject(value) && typeof value['errorType'] === 'string' ? value['errorType'] : 'Unhandled';
  return new AslTaskError(errorType, cause);
}

async function callTarget(
  arn: string,
  input: string,
  lambda: LambdaRunner,
  stepFunctions: { handle(action: string, body: unknown): Promise<unknown> },
): Promise<void> {
  if (arn.includes(':states:')) {
    await stepFunctions.handle('StartExecution', { stateMachineArn: arn, input });
    return;
  }
  const answer = await lambda.invoke(arn, input);
  if (answer.functionError !== undefined) throw new Error(answer.payload.slice(0, 2_000));
}
