/**
 * Secrets Manager, as far as the control plane asks it: secrets by their name or ARN, made, read and given another value. Kept in one file that only its
 * owner can read; a call is answered when that file is on the disk.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonFile, writeJsonFile } from '../runtime/json-file.ts';
import { AwsError } from './aws-error.ts';
import type { JsonObject } from './json-value.ts';
import type { JsonService } from './server.ts';

interface Secret {
  readonly arn: string;
  readonly text: string;
  readonly version: string;
}

export function openSecretsManager(options: {
  readonly folder: string;
  readonly region: string;
  readonly accountId: string;
}): JsonService {
  mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  const file = join(options.folder, 'secrets.json');
  const secrets = new Map(Object.entries(readJsonFile<Record<string, Secret>>(file) ?? {}));
  const keep = (name: string, secret: Secret): JsonObject => {
    secrets.set(name, secret);
    writeJsonFile(file, Object.fromEntries(secrets), { durable: true });
    return { ARN: secret.arn, Name: name, VersionId: secret.version };
  };
  const find = (id: string): readonly [string, Secret] => {
    for (const [name, secret] of secrets) if (id === name || id === secret.arn) return [name, secret];
    throw new AwsError('ResourceNotFoundException', "Secrets Manager can't find the specified secret.");
  };
  const operations: Readonly<Record<string, (input: JsonObject) => JsonObject>> = {
    CreateSecret(input) {
      const name = textOf(input, 'Name');
      if (secrets.has(name))
        throw new AwsError('ResourceExistsException', `The secret ${name} already exists.`);
      const place = `arn:aws:secretsmanager:${options.region}:${options.accountId}`;
      const arn = `${place}:secret:${name}-${randomBytes(3).toString('hex')}`;
      return keep(name, { arn, text: textOf(input, 'SecretString'), version: newVersion() });
    },
    GetSecretValue(input) {
      const [name, { arn, text, version }] = find(textOf(input, 'SecretId'));
      return {
        ARN: arn,
        Name: name,
        SecretString: text,
        VersionId: version,
        VersionStages: ['AWSCURRENT'],
      };
    },
    PutSecretValue(input) {
      const [name, { arn }] = find(textOf(input, 'SecretId'));
      return keep(name, { arn, text: textOf(input, 'SecretString'), version: newVersion() });
    },
  };
  return {
    async handle(operation, input) {
      const handler = operations[operation];
      if (handler === undefined)
        throw new AwsError('UnknownOperationException', `${operation} is not played`);
      return handler(input);
    },
  };
}

function textOf(input: JsonObject, key: string): string {
  const value = input[key];
  if (typeof value !== 'string' || value === '')
    throw new AwsError('ValidationException', `${key} must be a text`);
  return value;
}

function newVersion(): string {
  return randomBytes(16).toString('hex');
}
