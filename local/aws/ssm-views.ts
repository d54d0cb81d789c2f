/**
 * What Run Command shows of a command: the shapes of its API, and how the state of a command follows from the
 * states of its invocations.
 */
import { type Command, hasEnded, type Invocation } from './ssm-commands.ts';
import type { SsmDocument } from './ssm-document.ts';
import { maxOutputCharacters, type StepReport } from './ssm-protocol.ts';

/** ListCommandInvocations shows less of the output than GetCommandInvocation. */
const maxListedCharacters = 2500;

/** A command as SendCommand and ListCommands show it. */
export function commandView(command: Command): object {
  const { invocations } = command;
  const ended = invocations.filter(hasEnded);
  const { status, details } = overall(command);
  return {
    CommandId: command.commandId,
    DocumentName: command.documentName,
    DocumentVersion: '$DEFAULT',
    Comment: command.comment,
    ExpiresAfter: command.requestedAtMs / 1000 + command.timeoutSeconds,
    Parameters: command.parameters,
    InstanceIds: invocations.map(({ instanceId }) => instanceId),
    RequestedDateTime: command.requestedAtMs / 1000,
    Status: status,
    StatusDetails: details,
    TimeoutSeconds: command.timeoutSeconds,
    TargetCount: invocations.length,
    CompletedCount: ended.length,
    ErrorCount: ended.filter(
      (invocation) => invocation.status === 'Failed' || invocation.statusDetails === 'ExecutionTimedOut',
    ).length,
    DeliveryTimedOutCount: ended.filter(({ statusDetails }) => statusDetails === 'DeliveryTimedOut').length,
  };
}

function overall({ invocations }: Command): { status: string; details: string } {
  const open = invocations.filter((invocation) => !hasEnded(invocation));
  if (open.length > 0) {
    const untouched = invocations.every(({ status }) => status === 'Pending');
    const status = untouched
      ? 'Pending'
      : (open.find((invocation) => invocation.status === 'Cancelling')?.status ?? 'InProgress');
    return { status, details: status };
  }
  for (const status of ['Failed', 'TimedOut', 'Cancelled'] as const) {
    const worst = invocations.find((invocation) => invocation.status === status);
    if (worst !== undefined) return { status, details: worst.statusDetails };
  }
  return { status: 'Success', details: 'Success' };
}

/** An invocation as ListCommandInvocations shows it. */
export function invocationView(
  command: Command,
  invocation: Invocation,
  instanceName: string,
  details: boolean,
): object {
  const plugins = invocation.steps.map((step) => ({
    Name: step.name,
    Status: step.status,
    StatusDetails: stepDetails(step),
    ResponseCode: step.responseCode,
    ...(step.startedAtMs === undefined ? {} : { ResponseStartDateTime: step.startedAtMs / 1000 }),
    ...(step.endedAtMs === undefined ? {} : { ResponseFinishDateTime: step.endedAtMs / 1000 }),
    Output: listedOutput(step).slice(0, maxListedCharacters),
    StandardOutputUrl: '',
    StandardErrorUrl: '',
  }));
  return {
    CommandId: command.commandId,
    InstanceId: invocation.instanceId,
    InstanceName: instanceName,
    Comment: command.comment,
    DocumentName: command.documentName,
    DocumentVersion: '$DEFAULT',
    RequestedDateTime: command.requestedAtMs / 1000,
    Status: invocation.status,
    StatusDetails: invocation.statusDetails,
    StandardOutputUrl: '',
    StandardErrorUrl: '',
    CommandPlugins: details ? plugins : [],
  };
}

function listedOutput({ stdout, stderr }: StepReport): string {
  return stderr === '' ? stdout : `${stdout}\n----------ERROR-------\n${stderr}`;
}

function stepDetails({ status }: StepReport): string {
  return status === 'TimedOut' ? 'ExecutionTimedOut' : status;
}

/** An invocation as GetCommandInvocation shows it: one step by name, or all of them as one. */
export function commandInvocation(
  command: Command,
  invocation: Invocation,
  pluginName: string | undefined,
): object {
  const chosen = invocation.steps.filter(({ name }) => pluginName === undefined || name === pluginName);
  const one = chosen.length === 1 ? chosen[0] : undefined;
  const failed = chosen.find(({ responseCode, status }) => status !== 'Success' || responseCode !== 0);
  const startedAtMs = chosen.find((step) => step.startedAtMs !== undefined)?.startedAtMs;
  const endedAtMs = hasEnded(invocation)
    ? chosen.findLast((step) => step.endedAtMs !== undefined)?.endedAtMs
    : undefined;
  const ofStep = pluginName !== undefined && one !== undefined;
  return {
    CommandId: command.commandId,
    InstanceId: invocation.instanceId,
    Comment: command.comment,
    DocumentName: command.documentName,
    DocumentVersion: '$DEFAULT',
    PluginName: one?.name ?? '',
    ResponseCode: (failed ?? chosen[0])?.responseCode ?? -1,
    ExecutionStartDateTime: isoTime(startedAtMs),
    ExecutionElapsedTime: elapsed(startedAtMs, endedAtMs),
    ExecutionEndDateTime: isoTime(endedAtMs),
    Status: ofStep ? one.status : invocation.status,
    StatusDetails: ofStep ? stepDetails(one) : invocation.statusDetails,
    StandardOutputContent: output(chosen, 'stdout'),
    StandardOutputUrl: '',
    StandardErrorContent: output(chosen, 'stderr'),
    StandardErrorUrl: '',
    CloudWatchOutputConfig: { CloudWatchLogGroupName: '', CloudWatchOutputEnabled: false },
  };
}

function output(steps: readonly StepReport[], stream: 'stdout' | 'stderr'): string {
  return steps
    .map((step) => step[stream])
    .join('')
    .slice(0, maxOutputCharacters);
}

function isoTime(epochMs: number | undefined): string {
  return epochMs === undefined ? '' : new Date(epochMs).toISOString();
}

function elapsed(startedAtMs: number | undefined, endedAtMs: number | undefined): string {
  if (startedAtMs === undefined || endedAtMs === undefined) return '';
  return `PT${((endedAtMs - startedAtMs) / 1000).toFixed(3)}S`;
}

/** A document as DescribeDocument and ListDocuments show it. */
export function documentIdentifier(document: SsmDocument): object {
  return {
    Name: document.name,
    DocumentVersion: '1',
    Status: 'Active',
    Description: document.description,
    Parameters: [...document.parameters].map(([name, declaration]) => ({
      Name: name,
      Type: declaration.type === 'StringList' ? 'StringList' : 'String',
      ...(declaration.default === undefined ? {} : { DefaultValue: asDefault(declaration.default) }),
    })),
    PlatformTypes: ['Linux'],
    DocumentType: document.documentType,
    SchemaVersion: '2.2',
    DocumentFormat: 'JSON',
  };
}

function asDefault(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
