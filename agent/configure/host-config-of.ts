/**
 * A host's configuration from what three places know: the parameters (what the owner decided), the instance's metadata (who and where it
 * is) and Secrets Manager (what it must not tell anybody). Upholds that a secret is in no parameter, and in files of root's alone.
 */
import type { InstanceFacts } from '../../adapters/aws/instance-metadata.ts';
import type { Answer } from '../../adapters/aws/store-answer.ts';
import type { HostConfig } from '../../core/model/host-config.ts';
import { defaultTags } from '../../core/model/node-report.ts';
import { InvalidInput } from '../../core/wire/fields.ts';
import { readSecretText } from '../../core/wire/parse-cluster-secrets.ts';
import { parseHostConfig } from '../../core/wire/parse-host-config.ts';
import { numberParameter, type Parameters, parameter, parametersBelow, roleParameter } from './parameters.ts';

export interface ConfigureDeps {
  readonly parameters: Parameters;
  readonly instance: () => Promise<InstanceFacts>;
  /** A secret's text, by its ARN or name. */
  readonly secret: (id: string) => Promise<Answer<string>>;
  /** Where PostgreSQL of that major is; rejects, and says where it was looked for, when it is nowhere. */
  readonly postgresBinDir: (major: number) => Promise<string>;
  /** Rejects with what is missing or too old. */
  readonly proxyPrograms: () => Promise<{ readonly haproxy: string; readonly pgbouncer: string }>;
  readonly runAs: { readonly uid: number; readonly gid: number };
  readonly folder: string;
}

/** Throws InvalidInput naming the parameter or the key, or an Error naming the secret; never with a secret's text in it. */
export async function hostConfigOf(deps: ConfigureDeps): Promise<HostConfig> {
  const { parameters } = deps;
  const role = roleParameter(parameters);
  const instance = await deps.instance();
  const region = parameter(parameters, 'region');
  if (region !== instance.region)
    throw new InvalidInput('region', region, `where this instance is, ${instance.region}`);
  const common = {
    role,
    cluster: parameter(parameters, 'cluster'),
    node: parameter(parameters, 'node'),
    instanceId: instance.instanceId,
    region,
    tableName: parameter(parameters, 'tableName'),
    stateMachineArn: parameter(parameters, 'stateMachineArn'),
    folder: deps.folder,
    host: instance.address,
    restPort: numberParameter(parameters, 'ports.rest'),
    wakePort: numberParameter(parameters, 'ports.wake'),
    runAs: deps.runAs,
    actions: 'both',
    secrets: {
      superuser: await credentials(deps, 'secrets.superuser', 'postgres'),
      replication: await credentials(deps, 'secrets.replication', 'replicator'),
      cluster: readSecretText(await secretOf(deps, 'secrets.cluster')).password,
    },
    secretIds: {
      superuser: parameter(parameters, 'secrets.superuser'),
      replication: parameter(parameters, 'secrets.replication'),
      cluster: parameter(parameters, 'secrets.cluster'),
    },
  };
  const own = role === 'database' ? await databaseKeys(deps, instance) : await proxyKeys(deps);
  return parseHostConfig({ ...common, ...own });
}

async function databaseKeys({ parameters, postgresBinDir }: ConfigureDeps, { address }: InstanceFacts) {
  return {
    tags: defaultTags,
    postgres: {
      binDir: await postgresBinDir(numberParameter(parameters, 'postgres.major')),
      port: numberParameter(parameters, 'ports.postgres'),
      listen: address,
      settings: parametersBelow(parameters, 'postgres.settings'),
    },
  };
}

async function proxyKeys({ parameters, proxyPrograms }: ConfigureDeps) {
  const { haproxy, pgbouncer } = await proxyPrograms();
  const port = (name: string) => numberParameter(parameters, `ports.${name}`);
  return {
    haproxyBin: haproxy,
    pgbouncerBin: pgbouncer,
    ports: {
      endpoint: port('endpoint'),
      pgbouncer: port('pgbouncer'),
      primary: port('primary'),
      replicas: port('replicas'),
    },
    poolSize: numberParameter(parameters, 'poolSize'),
  };
}

async function secretOf({ parameters, secret }: ConfigureDeps, name: string): Promise<string> {
  const id = parameter(parameters, name);
  const answer = await secret(id);
  if (answer.kind === 'ok') return answer.value;
  throw new Error(`${name}: ${id} could not be read: ${answer.kind}: ${answer.message}`);
}

/** `{"username": ..., "password": ...}` as Secrets Manager makes it for a database, or the password alone. */
async function credentials(deps: ConfigureDeps, name: string, fallback: string) {
  const { username, password } = readSecretText(await secretOf(deps, name));
  return { name: username ?? fallback, password };
}
