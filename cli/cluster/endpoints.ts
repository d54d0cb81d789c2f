/**
 * endpoints.json: where a cluster of the embedded runtime is reached. Written by the runtime, replaced at once at each change,
 * read by the CLI, by tests and by whoever wants to use the cluster with clients of their own.
 */
import { readFileSync } from 'node:fs';
import type { ClusterFolder } from './cluster-folder.ts';

export interface NodeEndpoints {
  readonly restUrl: string;
  readonly instanceId: string;
  /** Pids are null while there is no such process. */
  readonly agentPid: number | null;
  readonly guardPid: number | null;
  readonly ssmPid: number | null;
  readonly postmasterPid: number | null;
}

/** DSNs are complete URLs, whose user may create a table. */
export interface Endpoints {
  readonly cluster: string;
  readonly region: string;
  readonly awsEndpointUrl: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly tableName: string;
  readonly stateMachineArn: string;
  /** Names of Run Command's documents. */
  readonly documents: { readonly runAction: string; readonly fence: string; readonly upgrade?: string };
  readonly dsn: {
    /** HAProxy, then PgBouncer, then the primary: where clients go. Empty without a proxy. */
    readonly endpoint: string;
    readonly pgbouncer: string;
    /** HAProxy straight to the primary. */
    readonly primary: string;
    readonly replicas: string;
    readonly nodes: Readonly<Record<string, string>>;
  };
  readonly nodes: Readonly<Record<string, NodeEndpoints>>;
}

/** Null where there is no such cluster. */
export function readEndpoints(folder: ClusterFolder): Endpoints | null {
  try {
    return JSON.parse(readFileSync(folder.endpoints, 'utf8')) as Endpoints;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
