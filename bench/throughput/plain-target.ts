/**
 * The same servers without any agent: a primary and standbys with the settings that the agents write, started by the bench alone, for
 * the question what the agent's presence costs. As many standbys as the cluster has stream from it, synchronous in the same manner.
 */
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describeMissing, findInstallation } from '../../adapters/postgres/find-installation.ts';
import { PostgresNode } from '../../adapters/postgres/postgres-node.ts';
import { chooseFreePort } from '../../local/runtime/free-ports.ts';
import { unprivilegedUser } from '../../local/runtime/unprivileged-user.ts';
import type { SynchronousMode } from '../history/check-losses.ts';
import { clientGroups } from '../measure/cluster-groups.ts';
import type { GroupProcesses } from '../measure/process-usage.ts';
import { benchDatabase } from './embedded-target.ts';
import { withClient } from './prepare-data.ts';
import type { Route, Target } from './target.ts';

const acceptingTimeoutMs = 60_000;
const streamingTimeoutMs = 60_000;
const stopTimeoutMs = 60_000;
const credentials = {
  superuser: { name: 'postgres', password: 'bench-superuser' },
  replication: { name: 'leasehold_replication', password: 'bench-replication' },
};

export interface PlainOptions {
  /** Exists; may be entered by PostgreSQL's user. */
  readonly folder: string;
  readonly nodes: readonly string[];
  readonly mode: SynchronousMode;
  readonly settings: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

interface Server {
  readonly name: string;
  readonly slot: string;
  readonly port: number;
  readonly postgres: PostgresNode;
}

export class PlainTarget implements Target {
  readonly #options: PlainOptions;
  readonly #primary: Server;
  readonly #standbys: readonly Server[];
  readonly #dsn: string;

  private constructor(options: PlainOptions, primary: Server, standbys: readonly Server[]) {
    this.#options = options;
    this.#primary = primary;
    this.#standbys = standbys;
    const { name, password } = credentials.superuser;
    this.#dsn = `postgres://${name}:${password}@127.0.0.1:${primary.port}/`;
  }

  /** Makes the servers and leaves them running. When something is wrong none runs. */
  static async open(options: PlainOptions): Promise<PlainTarget> {
    const [primary, ...standbys] = await makeServers(options);
    if (primary === undefined) throw new Error('servers without an agent: there is no node');
    const target = new PlainTarget(options, primary, standbys);
    try {
      await target.#initialise();
      return target;
    } catch (error) {
      await target.close();
      throw error;
    }
  }

  get adminDsn(): string {
    return `${this.#dsn}${benchDatabase}`;
  }

  get routes(): readonly Route[] {
    return [{ path: 'direct', serves: 'primary', dsn: this.adminDsn }];
  }

  get groups(): GroupProcesses {
    return () => {
      const groups = clientGroups();
      for (const { name, postgres } of [this.#primary, ...this.#standbys]) {
        for (const { pid } of postgres.findProcesses()) groups.set(pid, `postgres ${name}`);
      }
      return groups;
    };
  }

  primary(): Promise<string> {
    return Promise.resolve(this.#primary.name);
  }

  async up(): Promise<void> {
    await this.#start(this.#primary, 'primary');
    for (const standby of this.#standbys) await this.#start(standby, 'standby');
  }

  /** The primary first: it ends when the standbys have everything. */
  async down(): Promise<void> {
    for (const { name, postgres } of [this.#primary, ...this.#standbys]) {
      const stopped = await postgres.stopFast(stopTimeoutMs);
      if (stopped.kind === 'timed-out')
        throw new Error(`${name} without an agent does not stop: ${stopped.reason}`);
      await postgres.awaitGone(stopTimeoutMs);
    }
  }

  /** Ends them at once; their folder is its owner's to remove. */
  async close(): Promise<void> {
    for (const { postgres } of [this.#primary, ...this.#standbys]) {
      await postgres.killAll('end of the bench', 10_000);
      postgres.close();
    }
  }

  async #initialise(): Promise<void> {
    const { postgres } = this.#primary;
    const made = await postgres.initialise();
    if (made.kind !== 'initialised') throw new Error(`a server without an agent: ${JSON.stringify(made)}`);
    await this.#start(this.#primary, 'primary');
    await postgres.ensurePhysicalSlots(this.#standbys.map(({ slot }) => slot));
    for (const standby of this.#standbys) {
      this.#options.signal.throwIfAborted();
      const source = { host: '127.0.0.1', port: this.#primary.port, slot: standby.slot };
      const copied = await standby.postgres.baseBackup({ source, signal: this.#options.signal });
      if (copied.kind !== 'rebuilt') throw new Error(`a standby without an agent: ${copied.output}`);
      await this.#start(standby, 'standby');
    }
    if (this.#options.mode !== 'off' && this.#standbys.length > 0) {
      const names = this.#standbys.map(({ name }) => `"${name}"`).join(', ');
      const set = await postgres.setSynchronousStandbyNames(`ANY 1 (${names})`);
      if (set.kind !== 'in-force') throw new Error(`servers without an agent: ${JSON.stringify(set)}`);
    }
    await withClient(`${this.#dsn}postgres`, (client) => client.query(`create database ${benchDatabase}`));
  }

  async #start({ name, postgres }: Server, as: 'primary' | 'standby'): Promise<void> {
    if (as === 'primary') await postgres.preparePrimary();
    const started = await postgres.start({ as });
    if (started.kind !== 'started') throw new Error(`${name} without an agent: ${JSON.stringify(started)}`);
    const accepting = await postgres.awaitAccepting(started, acceptingTimeoutMs);
    if (accepting.kind !== 'accepting')
      throw new Error(`${name} without an agent: ${JSON.stringify(accepting)}`);
    if (as === 'primary') return;
    const streaming = await postgres.awaitStreaming(
      { host: '127.0.0.1', port: this.#primary.port },
      streamingTimeoutMs,
    );
    if (streaming.kind !== 'streaming')
      throw new Error(`${name} without an agent: ${JSON.stringify(streaming)}`);
  }
}

async function makeServers({ folder, nodes, settings }: PlainOptions): Promise<Server[]> {
  const installation = await findInstallation();
  if (installation.kind === 'missing') throw new Error(describeMissing(installation));
  const runAs = unprivilegedUser();
  const taken = new Set<number>();
  const servers: Server[] = [];
  for (const name of nodes) {
    const port = await chooseFreePort(taken);
    const own = join(folder, name);
    for (const path of [own, join(own, 's')]) {
      mkdirSync(path, { recursive: true });
      chmodSync(path, 0o755);
      if (runAs !== null) chownSync(path, runAs.uid, runAs.gid);
    }
    const postgres = new PostgresNode({
      nodeName: name,
      binDir: installation.binDir,
      dataDir: join(own, 'pgdata'),
      port,
      listenAddresses: '127.0.0.1',
      socketDir: join(own, 's'),
      runAs,
      ...credentials,
      logFile: join(own, 'postgres.log'),
      settings,
    });
    servers.push({ name, slot: name.replaceAll('-', '_'), port, postgres });
  }
  return servers;
}
