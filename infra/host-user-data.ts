/**
 * What an instance is told at its first boot, as a script for cloud-init: the host's parameters, and `host/boot.py`, which fetches the
 * agent's artifact, verifies it and runs its installer. Every value is in base64 before it reaches the script, a token by CloudFormation
 * itself, so that none can become shell code, another parameter or the end of a here-document, whatever it holds.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Fn, Token, Tokenization } from 'aws-cdk-lib';
import { InvalidInput, readInteger, readSecret } from '../core/wire/fields.ts';
import { readSettings } from '../core/wire/read-settings.ts';

export interface HostUserDataProps {
  readonly role: 'database' | 'proxy';
  readonly cluster: string;
  readonly node: string;
  readonly region: string;
  readonly tableName: string;
  readonly stateMachineArn: string;
  /** ARNs or names in Secrets Manager. */
  readonly secrets: { readonly superuser: string; readonly replication: string; readonly cluster: string };
  /** The agent's artifact, arm64 or x64, in S3. */
  readonly artifact: { readonly bucket: string; readonly key: string; readonly sha256: string };
  readonly ports: {
    readonly postgres: number;
    readonly rest: number;
    readonly wake: number;
    readonly endpoint: number;
    readonly pgbouncer: number;
    readonly primary: number;
    readonly replicas: number;
  };
  /** Database hosts only. */
  readonly postgres?: {
    /** 14 to 18. */
    readonly major: number;
    readonly settings: Readonly<Record<string, string>>;
    /** `vol-...`, attached as a device of its own. */
    readonly dataVolumeId: string;
    /** Run once, as root, when this host is the cluster's primary at its first start. */
    readonly initScript?: string;
    /** Run once, as root, when this host is a standby at its first start. */
    readonly replicaInitScript?: string;
  };
  /** Proxy hosts only: server connections that PgBouncer may open to the primary. */
  readonly poolSize?: number;
}

/** EC2 takes 16 KiB of user data in all. */
const mostScriptCharacters = 3500;
const oldestMajor = 14;
const newestMajor = 18;

/** The whole user data, from `#!` on. Throws InvalidInput naming the prop. Strings and numbers may be tokens. */
export function hostUserData(props: HostUserDataProps): string {
  const lines = Object.entries(parametersOf(props)).map(([name, value]) => `${name} ${encoded(value)}`);
  const program = readFileSync(join(import.meta.dirname, '../host/boot.py'), 'utf8');
  return [
    '#!/bin/bash',
    '# Leasehold: brings the agent onto this host. What it says is in /var/log/cloud-init-output.log.',
    'set -euo pipefail',
    'umask 077',
    'work=$(mktemp -d)',
    'trap \'rm -rf "$work"\' EXIT',
    `cat >"$work/parameters" <<'END_OF_PARAMETERS'`,
    ...lines,
    'END_OF_PARAMETERS',
    `base64 -d <<'END_OF_PROGRAM' | gzip -d >"$work/boot.py"`,
    wrapped(gzipSync(program, { level: 9 }).toString('base64')),
    'END_OF_PROGRAM',
    'python3 "$work/boot.py" "$work/parameters"',
    '',
  ].join('\n');
}

function parametersOf(props: HostUserDataProps): Record<string, string | number> {
  const { role, secrets, artifact, ports } = props;
  return {
    role,
    cluster: props.cluster,
    node: props.node,
    region: props.region,
    tableName: props.tableName,
    stateMachineArn: props.stateMachineArn,
    ...prefixed('secrets', { ...secrets }),
    ...prefixed('artifact', { ...artifact }),
    ...prefixed('ports', { ...ports }),
    ...(role === 'database' ? databaseParameters(props) : proxyParameters(props)),
  };
}

function databaseParameters({ postgres, poolSize }: HostUserDataProps): Record<string, string | number> {
  if (postgres === undefined) throw new InvalidInput('postgres', postgres, 'an object: the role is database');
  if (poolSize !== undefined) throw new InvalidInput('poolSize', poolSize, 'nothing: the role is database');
  const { major, settings, dataVolumeId, initScript, replicaInitScript } = postgres;
  if (!Token.isUnresolved(major)) readInteger(major, 'postgres.major', oldestMajor, newestMajor);
  return {
    'postgres.major': major,
    'postgres.dataVolumeId': dataVolumeId,
    ...prefixed('postgres.settings', readSettings(settings, 'postgres.settings')),
    ...script('postgres.initScript', initScript),
    ...script('postgres.replicaInitScript', replicaInitScript),
  };
}

function proxyParameters({ postgres, poolSize }: HostUserDataProps): Record<string, string | number> {
  if (postgres !== undefined) throw new InvalidInput('postgres', '(given)', 'nothing: the role is proxy');
  if (poolSize === undefined || !Token.isUnresolved(poolSize)) readInteger(poolSize, 'poolSize', 1, 10_000);
  return { poolSize: poolSize ?? 0 };
}

function script(name: string, text: string | undefined): Record<string, string> {
  if (text === undefined) return {};
  // It may hold a password: a refusal does not repeat it.
  readSecret(text, name);
  if (!Token.isUnresolved(text) && text.length > mostScriptCharacters) {
    const takes = `at most ${mostScriptCharacters}: let it fetch the rest`;
    throw new InvalidInput(name, `(${text.length} characters)`, takes);
  }
  return { [name]: text };
}

function prefixed<T>(prefix: string, values: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}.${name}`, value]));
}

function encoded(value: string | number): string {
  const text = typeof value === 'number' ? Tokenization.stringifyNumber(value) : value;
  return Token.isUnresolved(text) ? Fn.base64(text) : Buffer.from(text).toString('base64');
}

function wrapped(base64: string): string {
  return base64.replaceAll(/.{1,120}/g, (line) => `${line}\n`).trimEnd();
}
