/** What whole-cluster tests do with a cluster's secrets: rotate them as an operator would, and log in as clients do meanwhile. */
import { SecretsManager } from '@aws-sdk/client-secrets-manager';
import { Client } from 'pg';
import { sleepMs } from '../../../adapters/clock.ts';
import { neverRotated, type SecretKind, secretKinds } from '../../../core/model/cluster-secrets.ts';
import type { ClusterHandle } from '../../../local/runtime/cluster-handle.ts';
import { eventually } from './cluster-sandbox.ts';

export async function secretVersions(cluster: ClusterHandle) {
  const head = await cluster.store().readHead();
  if (head.kind !== 'ok') throw new Error(`the record: ${head.kind}`);
  return head.value.record?.secrets ?? neverRotated;
}

/** Asks Secrets Manager for new versions; their ids. */
export async function rotate(cluster: ClusterHandle, kinds: readonly SecretKind[]) {
  const { region, awsEndpointUrl, accessKeyId, secretAccessKey } = cluster.endpoints();
  const client = new SecretsManager({
    region,
    endpoint: awsEndpointUrl,
    credentials: { accessKeyId, secretAccessKey },
  });
  try {
    return await Promise.all(
      kinds.map(async (kind) => {
        const { VersionId = '' } = await client.rotateSecret({ SecretId: `leasehold/main/${kind}` });
        return [kind, VersionId] as const;
      }),
    );
  } finally {
    client.destroy();
  }
}

/** Waits until those versions are what the record calls current, and what Secrets Manager does. */
export async function untilRotated(
  cluster: ClusterHandle,
  wanted: readonly (readonly [SecretKind, string])[],
  timeoutMs: number,
): Promise<void> {
  await eventually(
    'the end of the rotations',
    async () => {
      const versions = await secretVersions(cluster);
      return wanted.every(([kind, id]) => versions[kind].current === id && versions[kind].next === null);
    },
    timeoutMs,
  );
}

export const allSecrets = secretKinds;

/** Logs in anew for each row, always by the same DSN, as an application that reads its secret once a day. */
export class ComingAndGoing {
  readonly acknowledged: number[] = [];
  readonly errors: string[] = [];
  readonly #dsn: string;
  readonly #table: string;
  #running = true;
  #loop: Promise<void>;

  constructor(dsn: string, table: string) {
    this.#dsn = dsn;
    this.#table = table;
    this.#loop = this.#write();
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#loop;
  }

  async #write(): Promise<void> {
    for (let row = 1; this.#running; row += 1) {
      const client = new Client({ connectionString: this.#dsn, query_timeout: 20_000 });
      client.on('error', () => undefined);
      try {
        await client.connect();
        await client.query(`insert into ${this.#table} (row) values ($1)`, [row]);
        this.acknowledged.push(row);
      } catch (error) {
        this.errors.push((error as Error).message);
      } finally {
        await client.end().catch(() => undefined);
      }
      await sleepMs(50);
    }
  }
}
