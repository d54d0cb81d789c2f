/**
 * What an agent is told about its host: who it is, where its folders and peers are, which secrets it shares. Written by
 * `leasehold up` or cloud-init as one JSON file, parsed by `core/wire/parse-host-config.ts`, never changed at runtime.
 */
import type { NodeId } from './lease.ts';
import type { NodeTags } from './node-report.ts';

export interface HostSecrets {
  /** PostgreSQL's superuser, which clients of the embedded runtime use too. */
  readonly superuser: { readonly name: string; readonly password: string };
  readonly replication: { readonly name: string; readonly password: string };
  /** Authenticates what agents say to one another: wake-up datagrams and the peer channel. */
  readonly cluster: string;
}

/** Where Secrets Manager keeps each, by name or ARN. */
export interface SecretIds {
  readonly superuser: string;
  readonly replication: string;
  readonly cluster: string;
}

interface CommonHostConfig {
  readonly cluster: string;
  readonly node: NodeId;
  readonly instanceId: string;
  readonly region: string;
  readonly tableName: string;
  readonly stateMachineArn: string;
  /** Everything this host writes lives below: `run/`, `log/`, `state/`, `data/`. Absolute. */
  readonly folder: string;
  /** Where this host is reached by the others. */
  readonly host: string;
  /** 0 asks the kernel for a free port; the agent publishes what it got. */
  readonly restPort: number;
  readonly wakePort: number;
  /** PostgreSQL and the proxies run as this user when the agent is root; null otherwise. */
  readonly runAs: { readonly uid: number; readonly gid: number } | null;
  /** `both`, or by Run Command alone. */
  readonly actions: 'both' | 'run-command';
  /** As they were when the host was configured: a rotation's are in `state/secrets.json`. */
  readonly secrets: HostSecrets;
  /** Null: this host follows no rotation. */
  readonly secretIds: SecretIds | null;
}

export interface DatabaseHostConfig extends CommonHostConfig {
  readonly role: 'database';
  readonly tags: NodeTags;
  /** The watchdog device, used where it is there and can be written; null: none is to be used. */
  readonly watchdog: string | null;
  readonly postgres: {
    readonly binDir: string;
    readonly port: number;
    /** Addresses to listen on, as PostgreSQL's listen_addresses takes them. */
    readonly listen: string;
    /** Extra settings, name to value as in postgresql.conf. */
    readonly settings: Readonly<Record<string, string>>;
  };
}

export interface ProxyHostConfig extends CommonHostConfig {
  readonly role: 'proxy';
  readonly haproxyBin: string;
  readonly pgbouncerBin: string;
  readonly ports: {
    readonly endpoint: number;
    readonly pgbouncer: number;
    readonly primary: number;
    readonly replicas: number;
  };
  /** Server connections that PgBouncer may open to the primary, for each database. */
  readonly poolSize: number;
}

export type HostConfig = DatabaseHostConfig | ProxyHostConfig;
