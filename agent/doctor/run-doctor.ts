/**
 * `leasehold-agent doctor`: puts its checks together for the host it runs on and prints what they found. `leasehold-agent serving` asks
 * the running agent one thing only: whether this host does its part of the cluster's work now.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createAwsClients } from '../../adapters/aws/clients.ts';
import { createClusterStore } from '../../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../../adapters/aws/dynamo-client.ts';
import { readSecretValue } from '../../adapters/aws/secrets.ts';
import type { SecretKind } from '../../core/model/cluster-secrets.ts';
import type { HostConfig } from '../../core/model/host-config.ts';
import { agentFilePath, secretBookPath } from '../paths.ts';
import { SecretBook } from '../secret-book.ts';
import { certificateCheck } from './certificate-check.ts';
import { diagnose, exitCodeOf, tell } from './check.ts';
import { hostChecks } from './host-checks.ts';
import { serviceChecks } from './service-checks.ts';

const requestTimeoutMs = 3_000;

/** Prints a line a check, or one JSON array. Exit code 1 when a check has failed. */
export async function runDoctor(
  config: HostConfig,
  options: { readonly configFile: string; readonly json: boolean },
): Promise<number> {
  const client = createDynamoClient({ region: config.region });
  const aws = createAwsClients({ region: config.region });
  const store = createClusterStore({ client, tableName: config.tableName, cluster: config.cluster });
  const diagnoses = await diagnose([
    ...hostChecks(config, options.configFile),
    certificateCheck({ config, store, nowMs: Date.now }),
    ...serviceChecks({
      config,
      store,
      aws,
      secretsInUse: new SecretBook(secretBookPath(config), config).secrets,
      currentSecret: currentSecretOf(config),
      status,
      awsTimeMs: async () => await dateOf(await client.endpoint()),
      nowMs: Date.now,
    }),
  ]);
  process.stdout.write(options.json ? `${JSON.stringify(diagnoses)}\n` : tell(diagnoses));
  aws.destroy();
  client.destroy();
  return exitCodeOf(diagnoses);
}

function currentSecretOf({ region, secretIds }: HostConfig) {
  return secretIds === null ? null : (kind: SecretKind) => readSecretValue({ region }, secretIds[kind]);
}

async function status(url: string, timeoutMs: number): Promise<number> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
  await answer.body?.cancel();
  return answer.status;
}

/** Any answer tells the time, a refusal too. */
async function dateOf(url: URL): Promise<number | null> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(requestTimeoutMs) }).catch(() => null);
  await answer?.body?.cancel();
  const time = Date.parse(answer?.headers.get('date') ?? '');
  return Number.isNaN(time) ? null : time;
}

/** Prints `primary`, `standby` or `proxy` and is 0 while this host serves as that; else 1, with the reason on standard error. */
export async function runServing(config: HostConfig): Promise<number> {
  const port = config.restPort === 0 ? publishedPort(config) : config.restPort;
  const asked =
    config.role === 'proxy'
      ? [['proxy', 'primary']]
      : [
          ['primary', 'primary'],
          ['standby', 'replica'],
        ];
  for (const [role, path] of asked) {
    const answer = await status(`http://${config.host}:${port}/${path}`, requestTimeoutMs).catch(() => 0);
    if (answer === 0) {
      process.stderr.write('leasehold-agent: no agent answers on this host\n');
      return 1;
    }
    if (answer !== 200) continue;
    process.stdout.write(`${role}\n`);
    return 0;
  }
  process.stderr.write(`leasehold-agent: this ${config.role} host does not serve now\n`);
  return 1;
}

function publishedPort(config: HostConfig): number {
  const path = agentFilePath(config);
  if (!existsSync(path)) return 0;
  const { restPort } = JSON.parse(readFileSync(path, 'utf8')) as { restPort?: unknown };
  return typeof restPort === 'number' ? restPort : 0;
}
