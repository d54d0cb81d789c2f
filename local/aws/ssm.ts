/**
 * Systems Manager's Run Command: takes commands by a document's name for hosts of this machine, and answers
 * what became of them. The commands really run, by the worker on the host that they name; nothing here ever
 * claims a success that a worker did not report.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { AwsError } from './aws-error.ts';
import { asArray, asObject, asString, type JsonObject } from './json-value.ts';
import type { JsonService } from './server.ts';
import { type Command, type Invocation, openCommandStore } from './ssm-commands.ts';
import { type CommandsUnderWay, createCommandsUnderWay } from './ssm-delivery.ts';
import { parseDocument, renderSteps, type SsmDocument } from './ssm-document.ts';
import { commandInvocation, commandView, documentIdentifier, invocationView } from './ssm-views.ts';
import { createSsmWorkers, type SsmWorkers } from './ssm-workers.ts';
import type { DocumentDefinition } from './template-resources.ts';

/** A host as Systems Manager sees it. */
export type ManagedInstance = {
  readonly instanceId: string;
  readonly name: string;
  readonly privateIp: string;
  /** EC2's state: a command is taken for a running host only. */
  readonly state: string;
};

export type Ssm = JsonService & {
  readonly workers: SsmWorkers;
  close(): void;
};

export type SsmOptions = {
  readonly folder: string;
  readonly documents: readonly DocumentDefinition[];
  readonly accountId: string;
  /** The hosts as they are now. */
  readonly instances: () => readonly ManagedInstance[];
  /** How long a command is under way to its host, in ms, drawn for each; left out: it is there at once. */
  readonly deliveryMs?: () => number;
};

/** Opens the service with the commands that its folder holds. Throws on a document that cannot be played. */
export function openSsm(options: SsmOptions): Ssm {
  const commands = openCommandStore(join(options.folder, 'commands'));
  const underWay = createCommandsUnderWay();
  const workers = createSsmWorkers(commands, underWay.has);
  const documents = new Map(
    options.documents.map((definition) => [definition.name, parseDocument(definition)]),
  );
  const context: Context = { options, commands, workers, underWay, documents };
  return {
    workers,
    async handle(operation, input) {
      const handler = operations[operation];
      if (handler === undefined)
        throw new AwsError('UnknownOperationException', `${operation} is not played`);
      try {
        return handler(context, input);
      } catch (error) {
        if (error instanceof AwsError) throw error;
        // What narrowing refuses is a request of the wrong shape.
        throw new AwsError('ValidationException', (error as Error).message);
      }
    },
    close() {
      underWay.close();
      workers.close();
      commands.close();
    },
  };
}

type Context = {
  readonly options: SsmOptions;
  readonly commands: ReturnType<typeof openCommandStore>;
  readonly workers: SsmWorkers;
  readonly underWay: CommandsUnderWay;
  readonly documents: ReadonlyMap<string, SsmDocument>;
};

type Operation = (context: Context, input: JsonObject) => unknown;

const operations: Readonly<Record<string, Operation>> = {
  SendCommand: sendCommand,
  CancelCommand: cancelCommand,
  GetCommandInvocation: getCommandInvocation,
  ListCommands: listCommands,
  ListCommandInvocations: listCommandInvocations,
  DescribeDocument: ({ documents }, input) => ({
    Document: documentIdentifier(documentOf(documents, input['Name'])),
  }),
  GetDocument: getDocument,
  ListDocuments: ({ documents }) => ({
    DocumentIdentifiers: [...documents.values()].map(documentIdentifier),
  }),
  DescribeInstanceInformation: describeInstanceInformation,
};

const minTimeoutSeconds = 30;
const maxTimeoutSeconds = 2_592_000;
const defaultTimeoutSeconds = 3600;
const maxInstances = 50;
/** What AWS would do besides running the command; asking for it here is refused rather than ignored. */
const notPlayed = [
  'OutputS3BucketName',
  'OutputS3KeyPrefix',
  'NotificationConfig',
  'CloudWatchOutputConfig',
  'AlarmConfiguration',
];

function sendCommand(context: Context, input: JsonObject): unknown {
  const { options, commands, workers, underWay, documents } = context;
  const document = documentOf(documents, input['DocumentName']);
  if (document.documentType !== 'Command')
    throw new AwsError('InvalidDocument', `${document.name} is not a command`);
  for (const key of notPlayed) {
    if (input[key] !== undefined) throw new AwsError('ValidationException', `${key} is not played`);
  }
  const timeoutSeconds = Number(input['TimeoutSeconds'] ?? defaultTimeoutSeconds);
  if (
    !Number.isInteger(timeoutSeconds) ||
    timeoutSeconds < minTimeoutSeconds ||
    timeoutSeconds > maxTimeoutSeconds
  ) {
    const bound =
      timeoutSeconds < minTimeoutSeconds
        ? `greater than or equal to ${minTimeoutSeconds}`
        : `less than or equal to ${maxTimeoutSeconds}`;
    const where = `Value '${timeoutSeconds}' at 'timeoutSeconds' failed to satisfy constraint`;
    throw new AwsError(
      'ValidationException',
      `1 validation error detected: ${where}: Member must have value ${bound}`,
    );
  }
  const comment = asString(input['Comment'] ?? '', 'Comment');
  if (comment.length > 100)
    throw new AwsError('ValidationException', 'Comment must have at most 100 characters');
  const instanceIds = targetsOf(options, input);
  const parameters = asObject(input['Parameters'] ?? {}, 'Parameters');
  const steps = renderSteps(document, parameters);
  const command: Command = {
    commandId: randomUUID(),
    documentName: document.name,
    comment,
    parameters: parameters as Record<string, string[]>,
    steps,
    requestedAtMs: Date.now(),
    timeoutSeconds,
    invocations: instanceIds.map((instanceId) => ({
      instanceId,
      status: 'Pending',
      statusDetails: 'Pending',
      steps: steps.map(({ name }) => ({ name, status: 'Pending', responseCode: -1, stdout: '', stderr: '' })),
    })),
  };
  commands.add(command);
  underWay.deliver(command.commandId, options.deliveryMs?.() ?? 0, () => {
    for (const instanceId of instanceIds) workers.wake(instanceId);
  });
  return { Command: commandView(command) };
}

function targetsOf(options: SsmOptions, input: JsonObject): string[] {
  const instances = options.instances();
  const wanted = asArray(input['InstanceIds'], 'InstanceIds').map(String);
  for (const raw of asArray(input['Targets'], 'Targets')) {
    const target = asObject(raw, 'Targets');
    const values = asArray(target['Values'], 'Values').map(String);
    if (target['Key'] === 'InstanceIds') wanted.push(...values);
    else if (target['Key'] === 'tag:Name') {
      wanted.push(
        ...instances.filter(({ name }) => values.includes(name)).map(({ instanceId }) => instanceId),
      );
    } else throw new AwsError('InvalidTarget', `the target ${String(target['Key'])} is not played`);
  }
  const unique = [...new Set(wanted)];
  const unusable = unique.filter(
    (id) => !instances.some(({ instanceId, state }) => instanceId === id && state === 'running'),
  );
  if (unique.length === 0 || unusable.length > 0) {
    const ids = unusable.join(', ');
    throw new AwsError(
      'InvalidInstanceId',
      `Instances [[${ids}]] not in a valid state for account ${options.accountId}`,
    );
  }
  if (unique.length > maxInstances)
    throw new AwsError('ValidationException', `at most ${maxInstances} InstanceIds`);
  return unique;
}

function cancelCommand({ commands, workers }: Context, input: JsonObject): unknown {
  const command = commands.get(asString(input['CommandId'], 'CommandId'));
  if (command === undefined) throw new AwsError('InvalidCommandId', '');
  const chosen = asArray(input['InstanceIds'], 'InstanceIds').map(String);
  for (const invocation of command.invocations) {
    if (chosen.length > 0 && !chosen.includes(invocation.instanceId)) continue;
    if (invocation.status === 'Pending') commands.end(command, invocation, 'Cancelled', 'Cancelled');
    commands.cancelling(command, invocation);
    workers.wake(invocation.instanceId);
  }
  return {};
}

function getCommandInvocation({ commands }: Context, input: JsonObject): unknown {
  const command = commands.get(asString(input['CommandId'], 'CommandId'));
  const instanceId = asString(input['InstanceId'], 'InstanceId');
  const invocation = command?.invocations.find((candidate) => candidate.instanceId === instanceId);
  if (command === undefined || invocation === undefined) throw new AwsError('InvocationDoesNotExist', '');
  const pluginName = input['PluginName'];
  if (pluginName !== undefined && !invocation.steps.some(({ name }) => name === pluginName)) {
    throw new AwsError('InvalidPluginName', '');
  }
  return commandInvocation(command, invocation, pluginName === undefined ? undefined : String(pluginName));
}

function listCommands({ commands }: Context, input: JsonObject): unknown {
  const { CommandId: id, InstanceId: instance } = input;
  const found = commands
    .all()
    .filter(
      (command) =>
        (id === undefined || command.commandId === id) &&
        (instance === undefined || command.invocations.some(({ instanceId }) => instanceId === instance)),
    );
  const { items, next } = page(found, input);
  return { Commands: items.map(commandView), ...next };
}

function listCommandInvocations({ commands, options }: Context, input: JsonObject): unknown {
  const { CommandId: id, InstanceId: instance } = input;
  const names = new Map(options.instances().map(({ instanceId, name }) => [instanceId, name]));
  const found = commands
    .all()
    .filter(({ commandId }) => id === undefined || commandId === id)
    .flatMap((command) => command.invocations.map((invocation) => ({ command, invocation })))
    .filter(({ invocation }) => instance === undefined || invocation.instanceId === instance);
  const { items, next } = page(found, input);
  const view = ({ command, invocation }: { command: Command; invocation: Invocation }) =>
    invocationView(command, invocation, names.get(invocation.instanceId) ?? '', input['Details'] === true);
  return { CommandInvocations: items.map(view), ...next };
}

/** AWS answers 50 at a time; a token is the offset of what follows. */
function page<T>(
  all: readonly T[],
  input: JsonObject,
): { items: readonly T[]; next: { NextToken?: string } } {
  const size = Math.min(50, Math.max(1, Number(input['MaxResults'] ?? 50)));
  const from = Number(input['NextToken'] ?? 0);
  if (!Number.isInteger(from) || from < 0) throw new AwsError('InvalidNextToken', '');
  const items = all.slice(from, from + size);
  return { items, next: from + size < all.length ? { NextToken: String(from + size) } : {} };
}

function documentOf(documents: ReadonlyMap<string, SsmDocument>, name: unknown): SsmDocument {
  const wanted = asString(name, 'DocumentName').replace(/^arn:[^/]*:document\//, '');
  const document = documents.get(wanted);
  if (document === undefined) {
    throw new AwsError('InvalidDocument', `Document with name ${wanted} does not exist.`);
  }
  return document;
}

function getDocument({ documents }: Context, input: JsonObject): unknown {
  const document = documentOf(documents, input['Name']);
  return {
    Name: document.name,
    DocumentVersion: '1',
    Status: 'Active',
    Content: JSON.stringify(document.content),
    DocumentType: document.documentType,
    DocumentFormat: 'JSON',
  };
}

function describeInstanceInformation({ options, workers }: Context, input: JsonObject): unknown {
  const filters = asArray(input['Filters'], 'Filters').map((raw) => asObject(raw, 'Filters'));
  for (const { Key: key } of filters) {
    if (key !== 'InstanceIds' && key !== 'PingStatus')
      throw new AwsError('InvalidInstanceInformationFilterValue', `${String(key)}`);
  }
  const list = options.instances().map(({ instanceId, name, privateIp, state }) => {
    const { online, lastSeenMs } = workers.presence(instanceId);
    return {
      InstanceId: instanceId,
      PingStatus: online && state === 'running' ? 'Online' : 'ConnectionLost',
      ...(lastSeenMs === undefined ? {} : { LastPingDateTime: lastSeenMs / 1000 }),
      PlatformType: 'Linux',
      ResourceType: 'EC2Instance',
      ComputerName: name,
      IPAddress: privateIp,
    };
  });
  const matches = (instance: (typeof list)[number]) =>
    filters.every(({ Key: key, Values: values }) =>
      asArray(values, 'Values').includes(key === 'PingStatus' ? instance.PingStatus : instance.InstanceId),
    );
  return { InstanceInformationList: list.filter(matches) };
}
