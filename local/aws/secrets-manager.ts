/**
 * Secrets Manager: secrets with their versions and staging labels, kept on disk, and rotation, which really calls the rotation function
 * with its four steps. From AWS' documentation: a label is on one version at most; AWSPREVIOUS follows AWSCURRENT by itself; RotateSecret
 * makes an empty version that is AWSPENDING, and is refused while another one is, which is attempted again. How often AWS tries a
 * rotation that failed again, and after how long, is not documented: here `attempts` times, `againAfterMs` apart.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { readJsonFile, writeJsonFile } from '../runtime/json-file.ts';
import { AwsError } from './aws-error.ts';
import { asArray, asObject, isObject, type JsonObject } from './json-value.ts';
import type { InvokeAnswer } from './lambda.ts';
import type { JsonService } from './server.ts';

export type SecretsManagerOptions = {
  /** Where secrets are kept; null: in memory only. */
  readonly file: string | null;
  readonly region: string;
  readonly accountId: string;
  /** Calls a rotation function. */
  readonly invoke: (functionArn: string, payload: string) => Promise<InvokeAnswer>;
  readonly onFailure?: (secret: string, step: string, error: string) => void;
  readonly attempts?: number;
  readonly againAfterMs?: number;
};

export type NewSecret = {
  readonly name: string;
  readonly text: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Null: nothing rotates it. */
  readonly rotationFunctionArn: string | null;
};

export type SecretsManager = JsonService & {
  /** Makes a secret that is not there; one that is keeps its text. */
  ensure(secret: NewSecret): void;
  /** The text that is AWSCURRENT; null when there is no such secret. */
  currentText(name: string): string | null;
  /** Rotations under way go no further. */
  close(): void;
};

type Version = { id: string; text: string | null; labels: string[]; createdMs: number };
type Secret = {
  readonly name: string;
  readonly arn: string;
  tags: Record<string, string>;
  rotationFunctionArn: string | null;
  rotationEnabled: boolean;
  lastRotatedMs: number | null;
  versions: Version[];
};
type Context = {
  readonly options: SecretsManagerOptions;
  readonly secrets: Map<string, Secret>;
  /** By ARN: the rotation that runs now. */
  readonly running: Map<string, AbortController>;
  save(): void;
};

const [current, previous, pending] = ['AWSCURRENT', 'AWSPREVIOUS', 'AWSPENDING'] as const;
const steps = ['createSecret', 'setSecret', 'testSecret', 'finishSecret'];

type Operation = (context: Context, input: JsonObject) => unknown;

const operations: Readonly<Record<string, Operation>> = {
  CreateSecret: createSecret,
  DescribeSecret: (context, input) => describe(find(context, input)),
  GetSecretValue: getSecretValue,
  ListSecrets: ({ secrets }) => ({ SecretList: [...secrets.values()].map(describe) }),
  PutSecretValue: putSecretValue,
  UpdateSecretVersionStage: updateSecretVersionStage,
  RotateSecret: rotateSecret,
  CancelRotateSecret: cancelRotateSecret,
};

export function openSecretsManager(options: SecretsManagerOptions): SecretsManager {
  const { file } = options;
  const kept = file === null ? null : readJsonFile<Secret[]>(file);
  const context: Context = {
    options,
    secrets: new Map((kept ?? []).map((secret) => [secret.arn, secret])),
    running: new Map(),
    save() {
      if (file !== null) writeJsonFile(file, [...context.secrets.values()], { durable: true });
    },
  };
  return {
    async handle(operation, input) {
      const carryOut = operations[operation];
      if (carryOut === undefined)
        throw new AwsError('UnknownOperationException', `${operation} is not played`);
      const answer = carryOut(context, input);
      context.save();
      return answer;
    },
    ensure({ name, text, tags, rotationFunctionArn }) {
      const found = byName(context, name);
      const secret = found ?? newSecret(context, name, text, randomUUID());
      Object.assign(secret, { tags, rotationFunctionArn, rotationEnabled: rotationFunctionArn !== null });
      context.save();
    },
    currentText: (name) => labelled(byName(context, name), current)?.text ?? null,
    close() {
      for (const rotation of context.running.values()) rotation.abort();
    },
  };
}

function textOf(input: JsonObject, key: string): string {
  const value = input[key];
  if (typeof value !== 'string' || value === '')
    throw new AwsError('ValidationException', `${key} must be a text`);
  return value;
}

function newSecret(context: Context, name: string, text: string, version: string): Secret {
  const { region, accountId } = context.options;
  const random = randomBytes(8).toString('base64url').replaceAll(/[-_]/g, 'x').slice(0, 6);
  const arn = `arn:aws:secretsmanager:${region}:${accountId}:secret:${name}-${random}`;
  const secret: Secret = {
    ...{ name, arn, tags: {}, rotationFunctionArn: null, rotationEnabled: false, lastRotatedMs: null },
    versions: [{ id: version, text, labels: [current], createdMs: Date.now() }],
  };
  context.secrets.set(arn, secret);
  return secret;
}

function byName({ secrets }: Context, name: string): Secret | undefined {
  return [...secrets.values()].find((secret) => secret.name === name);
}

function find(context: Context, input: JsonObject): Secret {
  const id = textOf(input, 'SecretId');
  const secret = context.secrets.get(id) ?? byName(context, id);
  if (secret === undefined)
    throw new AwsError('ResourceNotFoundException', "Secrets Manager can't find the specified secret.");
  return secret;
}

function labelled(secret: Secret | undefined, label: string): Version | undefined {
  return secret?.versions.find(({ labels }) => labels.includes(label));
}

function createSecret(context: Context, input: JsonObject): unknown {
  const name = textOf(input, 'Name');
  if (byName(context, name) !== undefined)
    throw new AwsError(
      'ResourceExistsException',
      `The operation failed because the secret ${name} already exists.`,
    );
  const version = String(input['ClientRequestToken'] ?? randomUUID());
  const secret = newSecret(context, name, textOf(input, 'SecretString'), version);
  for (const tag of asArray(input['Tags'], 'Tags').map((raw) => asObject(raw, 'Tags')))
    secret.tags[textOf(tag, 'Key')] = textOf(tag, 'Value');
  return { ARN: secret.arn, Name: name, VersionId: version };
}

function describe(secret: Secret): unknown {
  const versions = secret.versions.filter(({ labels }) => labels.length > 0);
  const { lastRotatedMs, rotationFunctionArn } = secret;
  return {
    ARN: secret.arn,
    Name: secret.name,
    RotationEnabled: secret.rotationEnabled,
    ...(rotationFunctionArn === null ? {} : { RotationLambdaARN: rotationFunctionArn }),
    ...(lastRotatedMs === null ? {} : { LastRotatedDate: lastRotatedMs / 1000 }),
    Tags: Object.entries(secret.tags).map(([Key, Value]) => ({ Key, Value })),
    VersionIdsToStages: Object.fromEntries(versions.map(({ id, labels }) => [id, labels])),
  };
}

function getSecretValue(context: Context, input: JsonObject): unknown {
  const secret = find(context, input);
  const { VersionId: id, VersionStage: label } = input;
  const version = id === undefined ? labelled(secret, String(label ?? current)) : versionOf(secret, id);
  const asked = id === undefined ? `staging label: ${String(label ?? current)}` : `version: ${String(id)}`;
  if (
    version === undefined ||
    version.text === null ||
    (label !== undefined && !version.labels.includes(String(label)))
  )
    throw new AwsError(
      'ResourceNotFoundException',
      `Secrets Manager can't find the specified secret value for ${asked}`,
    );
  return {
    ...{ ARN: secret.arn, Name: secret.name, SecretString: version.text },
    ...{ VersionId: version.id, VersionStages: version.labels, CreatedDate: version.createdMs / 1000 },
  };
}

function versionOf(secret: Secret, id: unknown): Version | undefined {
  return secret.versions.find((version) => version.id === id);
}

function putSecretValue(context: Context, input: JsonObject): unknown {
  const secret = find(context, input);
  const id = String(input['ClientRequestToken'] ?? randomUUID());
  const text = textOf(input, 'SecretString');
  const given = asArray(input['VersionStages'], 'VersionStages').map(String);
  let version = versionOf(secret, id);
  if (version?.text != null && version.text !== text)
    throw new AwsError(
      'ResourceExistsException',
      `You can't use ClientRequestToken ${id} because that value is already in use for a version of secret ${secret.arn}.`,
    );
  if (version === undefined) {
    version = { id, text, labels: [], createdMs: Date.now() };
    secret.versions.push(version);
  }
  version.text = text;
  for (const label of given.length > 0 ? given : [current]) move(secret, label, version);
  return { ARN: secret.arn, Name: secret.name, VersionId: id, VersionStages: version.labels };
}

/** A label goes from wherever it is; what was current is previous then. */
function move(secret: Secret, label: string, to: Version | null): void {
  const from = labelled(secret, label);
  if (from === to) return;
  if (from !== undefined) from.labels = from.labels.filter((one) => one !== label);
  to?.labels.push(label);
  if (label === current && from !== undefined) move(secret, previous, from);
}

function updateSecretVersionStage(context: Context, input: JsonObject): unknown {
  const secret = find(context, input);
  const label = textOf(input, 'VersionStage');
  const { MoveToVersionId: moveTo, RemoveFromVersionId: removeFrom } = input;
  const to = moveTo === undefined ? undefined : versionOf(secret, moveTo);
  if (moveTo !== undefined && to === undefined)
    throw new AwsError(
      'ResourceNotFoundException',
      "Secrets Manager can't find the specified secret version.",
    );
  const from = labelled(secret, label);
  if (from !== undefined && from !== to && from.id !== removeFrom)
    throw new AwsError(
      'InvalidParameterException',
      `The parameter RemoveFromVersionId can't be empty. Staging label ${label} is currently attached to version ${from.id}, so you must explicitly reference that version in RemoveFromVersionId.`,
    );
  move(secret, label, to ?? null);
  return { ARN: secret.arn, Name: secret.name };
}

function rotateSecret(context: Context, input: JsonObject): unknown {
  const secret = find(context, input);
  const { RotationLambdaARN: functionArn, RotateImmediately: now = true } = input;
  if (functionArn !== undefined) secret.rotationFunctionArn = String(functionArn);
  if (secret.rotationFunctionArn === null)
    throw new AwsError(
      'InvalidRequestException',
      'No Lambda rotation function ARN is associated with this secret.',
    );
  secret.rotationEnabled = true;
  const waiting = labelled(secret, pending);
  const unfinished = waiting !== undefined && !waiting.labels.includes(current);
  if (unfinished && waiting.id !== input['ClientRequestToken']) {
    void rotate(context, secret, waiting.id);
    throw new AwsError(
      'InvalidRequestException',
      "A previous rotation isn't complete. That rotation will be reattempted.",
    );
  }
  const id = String(input['ClientRequestToken'] ?? randomUUID());
  if (now === true) {
    let version = versionOf(secret, id);
    if (version === undefined) {
      version = { id, text: null, labels: [], createdMs: Date.now() };
      secret.versions.push(version);
    }
    if (!version.labels.includes(current)) move(secret, pending, version);
    void rotate(context, secret, id);
  }
  return { ARN: secret.arn, Name: secret.name, VersionId: id };
}

function cancelRotateSecret(context: Context, input: JsonObject): unknown {
  const secret = find(context, input);
  secret.rotationEnabled = false;
  context.running.get(secret.arn)?.abort();
  return { ARN: secret.arn, Name: secret.name };
}

/** One at a time for each secret; returns when it is done, given up or cancelled. */
async function rotate(context: Context, secret: Secret, version: string): Promise<void> {
  const { running, options } = context;
  if (running.has(secret.arn)) return;
  const rotation = new AbortController();
  running.set(secret.arn, rotation);
  try {
    for (let attempt = 0; attempt < (options.attempts ?? 20); attempt += 1) {
      if (await attemptRotation(context, secret, version, rotation.signal)) {
        secret.lastRotatedMs = Date.now();
        context.save();
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, options.againAfterMs ?? 5_000).unref());
      if (rotation.signal.aborted) return;
    }
  } finally {
    running.delete(secret.arn);
  }
}

async function attemptRotation(
  { options }: Context,
  secret: Secret,
  version: string,
  signal: AbortSignal,
): Promise<boolean> {
  for (const Step of steps) {
    if (signal.aborted) return false;
    const event = { Step, SecretId: secret.arn, ClientRequestToken: version, RotationToken: randomUUID() };
    const failure = await options.invoke(secret.rotationFunctionArn ?? '', JSON.stringify(event)).then(
      ({ functionError, payload }) => (functionError === undefined ? null : messageIn(payload)),
      (error: unknown) => String(error),
    );
    if (failure === null) continue;
    options.onFailure?.(secret.name, Step, failure);
    return false;
  }
  return true;
}

function messageIn(payload: string): string {
  const value: unknown = JSON.parse(payload);
  return isObject(value) ? `${String(value['errorType'])}: ${String(value['errorMessage'])}` : payload;
}
