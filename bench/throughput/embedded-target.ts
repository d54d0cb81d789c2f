/**
 * A cluster of this machine as the throughput suite measures it: a database of its own on it, and beside it a PgBouncer straight at the
 * primary, which the layout does not have. Can be taken down and brought up again with its data, so that servers without an agent are
 * measured while no agent of ours takes time from them.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { findProxyPrograms } from '../../adapters/proxy/find-programs.ts';
import { ownFolder } from '../../adapters/proxy/kept-process.ts';
import { Pgbouncer } from '../../adapters/proxy/pgbouncer.ts';
import { usualIgnoredParameters } from '../../adapters/proxy/pgbouncer-config.ts';
import { ClusterHandle } from '../../local/runtime/cluster-handle.ts';
import { chooseFreePort } from '../../local/runtime/free-ports.ts';
import { unprivilegedUser } from '../../local/runtime/unprivileged-user.ts';
import type { SynchronousMode } from '../history/check-losses.ts';
import { clusterGroups } from '../measure/cluster-groups.ts';
import { openTemporaryCluster, type TemporaryCluster } from '../temporary-cluster.ts';
import { withDatabase } from './libpq-environment.ts';
import { withClient } from './prepare-data.ts';
import type { Route, Target } from './target.ts';

export interface EmbeddedOptions {
  readonly mode: SynchronousMode;
  /** PostgreSQL's, of every node. */
  readonly settings: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** The one that measures has no other work in it, so that the counters of the database are the workload's. */
export const benchDatabase = 'leasehold_bench';
const wholeTimeoutMs = 150_000;
const bouncer = { host: '127.0.0.1', maxClients: 1_000, poolSize: 50, patienceMs: 60_000 };

export class EmbeddedTarget implements Target {
  readonly #options: EmbeddedOptions;
  readonly #temporary: TemporaryCluster;
  #cluster: ClusterHandle;
  #isUp = true;
  #bouncer: { readonly pgbouncer: Pgbouncer; readonly dsn: string } | null = null;
  /** For whom the routes were made. */
  #primary = '';
  #routes: readonly Route[] = [];

  private constructor(options: EmbeddedOptions, temporary: TemporaryCluster) {
    this.#options = options;
    this.#temporary = temporary;
    this.#cluster = temporary.cluster;
  }

  static async open(options: EmbeddedOptions): Promise<EmbeddedTarget> {
    const temporary = await openTemporaryCluster({
      mode: options.mode,
      file: { settings: options.settings },
      signal: options.signal,
    });
    const target = new EmbeddedTarget(options, temporary);
    try {
      await withClient(temporary.cluster.dsn(await temporary.cluster.primary()), (client) =>
        client.query(`create database ${benchDatabase}`),
      );
      await target.refresh();
      return target;
    } catch (error) {
      await target.close();
      throw error;
    }
  }

  get routes(): readonly Route[] {
    return this.#routes;
  }

  get adminDsn(): string {
    return withDatabase(this.#cluster.dsn(this.#primary), benchDatabase);
  }

  get groups() {
    return clusterGroups(this.#cluster);
  }

  get nodes(): readonly string[] {
    return this.#cluster.wanted.nodes;
  }

  get folder(): string {
    return this.#temporary.folder;
  }

  primary(): Promise<string> {
    return this.#cluster.primary();
  }

  /** Waits for a whole cluster, and makes the routes anew where another node has become primary. */
  async refresh(): Promise<void> {
    await this.#cluster.untilWhole(wholeTimeoutMs, this.#options.signal);
    const primary = await this.#cluster.primary();
    if (primary === this.#primary) return;
    if (this.#primary !== '') this.#options.say(`${primary} has become primary`);
    this.#primary = primary;
    await this.#closeBouncer();
    this.#bouncer = await openBouncer(this.#temporary.folder, this.#cluster.dsn(primary));
    this.#routes = routesOf(this.#cluster, primary, this.#bouncer.dsn);
  }

  /** Ends cluster and PgBouncer; the data stays. */
  async down(): Promise<void> {
    await this.#closeBouncer();
    this.#primary = '';
    if (!this.#isUp) return;
    this.#isUp = false;
    await this.#cluster.down();
  }

  /** Brings it up again as it was. */
  async up(): Promise<void> {
    if (this.#isUp) return;
    const { signal } = this.#options;
    this.#cluster = await ClusterHandle.bringUp({
      clusterFile: join(this.#temporary.folder, 'cluster.json'),
      project: this.#temporary.folder,
      timeoutMs: wholeTimeoutMs,
      signal,
    });
    this.#isUp = true;
    await this.refresh();
  }

  /** Ends everything and removes the data. */
  async close(): Promise<void> {
    try {
      await this.down();
    } finally {
      await this.#temporary.close(false);
    }
  }

  async #closeBouncer(): Promise<void> {
    await this.#bouncer?.pgbouncer.stop();
    this.#bouncer = null;
  }
}

function routesOf(cluster: ClusterHandle, primary: string, bouncerDsn: string): Route[] {
  const { dsn } = cluster.endpoints();
  const standby = cluster.wanted.nodes.find((node) => node !== primary);
  const route = (path: string, serves: Route['serves'], url: string): Route => ({
    path,
    serves,
    dsn: withDatabase(url, benchDatabase),
  });
  return [
    route('direct', 'primary', cluster.dsn(primary)),
    route('haproxy', 'primary', dsn.primary),
    route('pgbouncer', 'primary', bouncerDsn),
    route('pgbouncer-haproxy', 'primary', dsn.pgbouncer),
    route('both', 'primary', dsn.endpoint),
    ...(standby === undefined ? [] : [route('direct', 'standbys', cluster.dsn(standby))]),
    route('haproxy', 'standbys', dsn.replicas),
  ];
}

/** By the same renderer and with the same settings as the cluster's own, but for its upstream. */
async function openBouncer(
  parent: string,
  primaryDsn: string,
): Promise<{ pgbouncer: Pgbouncer; dsn: string }> {
  const programs = await findProxyPrograms();
  if (programs.kind !== 'found')
    throw new Error(`${programs.detail} (Debian package: ${programs.debianPackage})`);
  const folder = join(parent, 'bouncer');
  const runAs = unprivilegedUser();
  mkdirSync(folder, { recursive: true });
  await ownFolder(folder, runAs);
  const url = new URL(primaryDsn);
  const port = await chooseFreePort(new Set());
  const { host, ...limits } = bouncer;
  const opened = await Pgbouncer.open({
    ...limits,
    program: programs.pgbouncer.path,
    folder,
    logFile: join(parent, 'bouncer.log'),
    runAs,
    listen: { host, port },
    upstream: { host: url.hostname, port: Number(url.port) },
    tls: null,
    users: [{ name: decodeURIComponent(url.username), secret: decodeURIComponent(url.password) }],
    ignoredStartupParameters: usualIgnoredParameters,
    authQuery: null,
  });
  if (opened.kind !== 'open') throw new Error(`the bench's PgBouncer: ${opened.detail}`);
  url.port = String(port);
  return { pgbouncer: opened.pgbouncer, dsn: url.href };
}
