/**
 * Patroni's configuration, as JSON, which YAML is a superset of. Its times are its own defaults, or as short as it takes them. Pure.
 */
import type { SynchronousMode } from '../../history/check-losses.ts';
import { initdbOptions, login, peerSettings } from './peer-postgres.ts';

export interface PatroniTimes {
  readonly ttl: number;
  readonly loopWait: number;
  readonly retryTimeout: number;
  /** Stay primary without etcd while every member answers; off by default. */
  readonly failsafeMode: boolean;
}

/** Of its documentation: 30, 10 and 10 s. */
export const patroniDefaults: PatroniTimes = { ttl: 30, loopWait: 10, retryTimeout: 10, failsafeMode: false };

/** Below what its documentation names as least (20, 1 and 3 s), and still working here. */
export const patroniTuned: PatroniTimes = { ttl: 5, loopWait: 1, retryTimeout: 2, failsafeMode: true };

export interface PatroniNode {
  readonly id: string;
  readonly port: number;
  readonly restPort: number;
  readonly dataDir: string;
  readonly binDir: string;
  readonly etcdPort: number;
  readonly passwordFile: string;
  readonly socketFolder: string;
}

export const patroniScope = 'benchmark';
const replicator = { username: 'replicator', password: login.password };

export function renderPatroni(node: PatroniNode, times: PatroniTimes, mode: SynchronousMode): string {
  const address = `127.0.0.1:${node.port}`;
  const superuser = { username: login.user, password: login.password };
  return JSON.stringify(
    {
      scope: patroniScope,
      name: node.id,
      restapi: { listen: `127.0.0.1:${node.restPort}`, connect_address: `127.0.0.1:${node.restPort}` },
      etcd3: { hosts: [`127.0.0.1:${node.etcdPort}`] },
      bootstrap: {
        dcs: {
          ttl: times.ttl,
          loop_wait: times.loopWait,
          retry_timeout: times.retryTimeout,
          failsafe_mode: times.failsafeMode,
          synchronous_mode: mode !== 'off',
          synchronous_mode_strict: mode === 'strict',
          postgresql: { use_pg_rewind: true, use_slots: true, parameters: peerSettings },
        },
        initdb: [{ encoding: initdbOptions.encoding }, { locale: initdbOptions.locale }, 'data-checksums'],
      },
      postgresql: {
        listen: address,
        connect_address: address,
        data_dir: node.dataDir,
        bin_dir: node.binDir,
        pgpass: node.passwordFile,
        authentication: { superuser, replication: replicator, rewind: superuser },
        parameters: { unix_socket_directories: node.socketFolder },
        pg_hba: [
          'local all all scram-sha-256',
          `host replication ${replicator.username} 127.0.0.1/32 scram-sha-256`,
          'host all all 127.0.0.1/32 scram-sha-256',
        ],
      },
      // As on Leasehold's hosts here: no test may reset the machine.
      watchdog: { mode: 'off' },
    },
    null,
    2,
  );
}

interface PatroniMember {
  readonly name: string;
  readonly role: string;
  readonly state: string;
}

/**
 * What keeps the members that `GET /cluster` shows from being a whole cluster of `size`; null when nothing does. PostgreSQL may have a
 * synchronous standby before Patroni knows it as one, and until then Patroni refuses a switchover.
 */
export function clusterProblem(answer: unknown, size: number, synchronous: boolean): string | null {
  const members = membersOf(answer);
  if (members === null) return 'Patroni answers with something else than its members';
  if (members.length !== size) return `Patroni knows ${members.length} of ${size} members`;
  const leaders = members.filter(({ role }) => role === 'leader');
  if (leaders.length !== 1) return `Patroni knows ${leaders.length} leaders`;
  const bad = members.find(({ state }) => state !== 'running' && state !== 'streaming');
  if (bad !== undefined) return `Patroni calls ${bad.name} ${bad.state}`;
  const known = members.some(({ role }) => role === 'sync_standby');
  return synchronous && !known ? 'Patroni knows no synchronous standby' : null;
}

function membersOf(answer: unknown): PatroniMember[] | null {
  const members = (answer as { members?: unknown } | null)?.members;
  if (!Array.isArray(members)) return null;
  const isMember = (member: unknown): member is PatroniMember => {
    const { name, role, state } = (member ?? {}) as Partial<Record<keyof PatroniMember, unknown>>;
    return [name, role, state].every((word) => typeof word === 'string');
  };
  return members.every(isMember) ? members : null;
}
