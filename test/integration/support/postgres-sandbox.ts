// Real PostgreSQL servers for a test, in a temporary folder, on free ports, as an unprivileged user. Whatever happens to the
// test, its servers die with it: `dispose` in afterEach, and once more when the process exits.

import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll } from 'vitest';
import {
  describeMissing,
  findInstallation,
  type Installation,
} from '../../../adapters/postgres/find-installation.ts';
import type { CommandReport, PostgresHostOptions } from '../../../adapters/postgres/host.ts';
import { PostgresNode } from '../../../adapters/postgres/postgres-node.ts';
import { type RunAs, sendSignal } from '../../../adapters/process.ts';

const ACCEPTING_TIMEOUT_MS = 30_000;
const STREAMING_TIMEOUT_MS = 20_000;

export interface SandboxNode {
  readonly name: string;
  readonly port: number;
  readonly postgres: PostgresNode;
  /** Programs run so far, as a transcript would show them. */
  readonly commands: readonly CommandReport[];
}

/** The user that servers run as here: null for an ordinary user, `postgres` (or nobody) for root. */
export function sandboxUser(): RunAs | null {
  if (process.getuid?.() !== 0) return null;
  for (const name of ['postgres', 'nobody']) {
    try {
      const [uid, gid] = ['-u', '-g'].map((flag) =>
        Number(execFileSync('id', [flag, name], { stdio: 'pipe' })),
      );
      if (uid !== undefined && gid !== undefined) return { uid, gid };
    } catch {
      // No such user: the next one.
    }
  }
  throw new Error('run as root, but there is no unprivileged user to run PostgreSQL as');
}

/** A port that nothing listens on now. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

const endings = new Set<() => void>();
let listening = false;

/** Runs something when this process ends, by whatever it can notice: test workers are ended by SIGTERM. */
function atEnd(run: () => void): () => void {
  if (!listening) {
    listening = true;
    process.once('exit', endAll);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, endBySignal);
    process.once('disconnect', endAll);
  }
  endings.add(run);
  return () => endings.delete(run);
}

function endAll(): void {
  for (const run of endings) run();
  endings.clear();
}

function endBySignal(): void {
  endAll();
  process.exit(1);
}

const CREDENTIALS = {
  superuser: { name: 'postgres', password: "super: user's \\ secret" },
  replication: { name: 'replicator', password: 'replication secret' },
};

let template: Promise<string> | null = null;
let templateFolder: string | null = null;

/** After the tests of a file, in their own time: a worker that is ended has half a second. */
function removeTemplate(): void {
  if (templateFolder !== null) rmSync(templateFolder, { recursive: true, force: true });
  templateFolder = null;
  template = null;
}
if (process.env.VITEST !== undefined) afterAll(removeTemplate);

/** One initdb for all tests of a file: the data directory of a cluster that was made and never started. */
function templateCluster(installation: Installation, runAs: RunAs | null): Promise<string> {
  template ??= makeTemplate(installation, runAs);
  return template;
}

async function makeTemplate({ binDir }: Installation, runAs: RunAs | null): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-template-'));
  templateFolder = folder;
  atEnd(removeTemplate);
  chmodSync(folder, 0o755);
  const node = new PostgresNode({
    nodeName: 'template',
    binDir,
    dataDir: join(folder, 'data'),
    // Written before each start anew; this one is never started.
    port: 1,
    listenAddresses: '',
    socketDir: folder,
    runAs,
    ...CREDENTIALS,
    logFile: join(folder, 'log'),
  });
  const made = await node.initialise();
  if (made.kind !== 'initialised') throw new Error(`template: ${JSON.stringify(made)}`);
  return join(folder, 'data');
}

/** The slot that a node uses on every other one. */
export function slotOf(node: { readonly name: string }): string {
  return node.name.replaceAll('-', '_');
}

export class PostgresSandbox {
  readonly folder: string;
  readonly installation: Installation;
  readonly runAs: RunAs | null;
  readonly #nodes: SandboxNode[] = [];
  readonly #clients: pg.Client[] = [];
  readonly #forget: () => void;

  private constructor(installation: Installation) {
    this.installation = installation;
    this.runAs = sandboxUser();
    this.folder = mkdtempSync(join(tmpdir(), 'leasehold-'));
    chmodSync(this.folder, 0o755);
    this.#forget = atEnd(() => this.#killNow());
  }

  static async create(): Promise<PostgresSandbox> {
    const installation = await findInstallation();
    if (installation.kind === 'missing') throw new Error(describeMissing(installation));
    return new PostgresSandbox(installation);
  }

  /** A node that has no data yet. */
  async node(name: string, overrides: Partial<PostgresHostOptions> = {}): Promise<SandboxNode> {
    const port = overrides.port ?? (await freePort());
    const folder = join(this.folder, name);
    for (const path of [folder, join(folder, 'run')]) {
      mkdirSync(path, { mode: 0o755 });
      if (this.runAs !== null) chownSync(path, this.runAs.uid, this.runAs.gid);
    }
    const commands: CommandReport[] = [];
    const postgres = new PostgresNode({
      nodeName: name,
      binDir: this.installation.binDir,
      dataDir: join(folder, 'data'),
      port,
      listenAddresses: '127.0.0.1',
      socketDir: join(folder, 'run'),
      runAs: this.runAs,
      ...CREDENTIALS,
      logFile: join(folder, 'postgres.log'),
      onCommand: (report) => commands.push(report),
      ...overrides,
    });
    const node = { name, port, postgres, commands };
    this.#nodes.push(node);
    return node;
  }

  /** A cluster's primary, accepting connections. Clusters of one test file are copies: one system identifier. */
  async primary(name: string, overrides: Partial<PostgresHostOptions> = {}): Promise<SandboxNode> {
    const node = await this.node(name, overrides);
    const template = await templateCluster(this.installation, this.runAs);
    execFileSync('cp', ['-a', '--reflink=auto', template, node.postgres.host.dataDir]);
    await this.startNode(node, 'primary');
    return node;
  }

  /** A standby of a running node, streaming from it through a slot of its own. */
  async standby(
    name: string,
    of: SandboxNode,
    overrides: Partial<PostgresHostOptions> = {},
  ): Promise<SandboxNode> {
    const node = await this.node(name, overrides);
    const slots = await of.postgres.ensurePhysicalSlots([slotOf(node)]);
    if (slots.kind !== 'done') throw new Error(`slot ${name}: ${JSON.stringify(slots)}`);
    const copied = await node.postgres.baseBackup({ source: this.upstream(of, node) });
    if (copied.kind !== 'rebuilt') throw new Error(`base backup ${name}: ${JSON.stringify(copied)}`);
    await this.startNode(node, 'standby');
    await this.streams(node, of);
    return node;
  }

  /** `source` as `node` sees it. */
  upstream(source: SandboxNode, node: SandboxNode) {
    return { host: '127.0.0.1', port: source.port, slot: slotOf(node) };
  }

  async startNode(node: SandboxNode, as: 'primary' | 'standby'): Promise<void> {
    if (as === 'primary') await node.postgres.preparePrimary();
    const started = await node.postgres.start({ as });
    if (started.kind !== 'started') throw new Error(`start ${node.name}: ${JSON.stringify(started)}`);
    const accepting = await node.postgres.awaitAccepting(started, ACCEPTING_TIMEOUT_MS);
    if (accepting.kind !== 'accepting') throw new Error(`start ${node.name}: ${JSON.stringify(accepting)}`);
  }

  async streams(node: SandboxNode, from: SandboxNode): Promise<void> {
    const result = await node.postgres.awaitStreaming(
      { host: '127.0.0.1', port: from.port },
      STREAMING_TIMEOUT_MS,
    );
    if (result.kind !== 'streaming')
      throw new Error(`${node.name} streams from ${from.name}: ${JSON.stringify(result)}`);
  }

  /** Waits until a standby has replayed all that the primary has flushed now. */
  async caughtUp(node: SandboxNode, primary: SandboxNode): Promise<void> {
    const target = await this.value(primary, 'select pg_current_wal_flush_lsn()::text');
    const deadlineMs = performance.now() + STREAMING_TIMEOUT_MS;
    for (;;) {
      if (await this.value(node, `select pg_last_wal_replay_lsn() >= '${target}'`)) return;
      if (performance.now() > deadlineMs) throw new Error(`${node.name} does not catch up`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** The first column of the first row, over the probe connection. */
  async value(node: SandboxNode, sql: string): Promise<unknown> {
    const answer = await node.postgres.query(sql, 10_000);
    if (answer.kind !== 'rows') throw new Error(`${node.name}: ${JSON.stringify(answer)}: ${sql}`);
    return Object.values(answer.rows[0] ?? {})[0];
  }

  /** A client over TCP, as an application has one. */
  async client(node: SandboxNode): Promise<pg.Client> {
    const { superuser } = node.postgres.host;
    const client = new pg.Client({
      host: '127.0.0.1',
      port: node.port,
      user: superuser.name,
      password: superuser.password,
      database: 'postgres',
    });
    client.on('error', () => undefined);
    await client.connect();
    this.#clients.push(client);
    return client;
  }

  /** Ends all servers and removes their files. */
  async dispose(): Promise<void> {
    this.#forget();
    for (const client of this.#clients) void client.end().catch(() => undefined);
    for (const { postgres } of this.#nodes) postgres.close();
    const evidence = await Promise.all(
      this.#nodes.map(({ postgres }) => postgres.killAll('end of the test', 10_000)),
    );
    const remaining = evidence.flatMap((one) => one.remaining);
    if (remaining.length > 0) throw new Error(`servers left behind: ${JSON.stringify(remaining)}`);
    rmSync(this.folder, { recursive: true, force: true });
  }

  #killNow(): void {
    for (const { postgres } of this.#nodes) {
      for (let round = 0; round < 100; round += 1) {
        const processes = postgres.findProcesses();
        if (processes.length === 0) break;
        for (const { pid } of processes) sendSignal(pid, 'SIGKILL');
      }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
