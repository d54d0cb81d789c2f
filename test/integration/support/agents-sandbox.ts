/**
 * Database agents alone: real agent processes with real PostgreSQL on a DynamoDB of the test's own, without a control
 * plane. For what agents do by themselves: bootstrap, joining, fencing. Everything is killed when the test ends, fails or
 * is interrupted.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ClusterStore, createClusterStore } from '../../../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../../../adapters/aws/dynamo-client.ts';
import { findInstallation } from '../../../adapters/postgres/find-installation.ts';
import { listPids, processWorkingDirectory, sendSignal } from '../../../adapters/process.ts';
import { newRecord } from '../../../adapters/workflow/record-cluster.ts';
import { agentNodeOptions } from '../../../agent/node-options.ts';
import { type ClusterRecord, type ClusterSpec, defaultSpec } from '../../../core/model/cluster-record.ts';
import type { DatabaseHostConfig } from '../../../core/model/host-config.ts';
import type { Lease } from '../../../core/model/lease.ts';
import { bundleAgent } from '../../../local/runtime/bundle-agent.ts';
import { chooseFreePort } from '../../../local/runtime/free-ports.ts';
import { unprivilegedUser } from '../../../local/runtime/unprivileged-user.ts';
import { startTestTable, type TestTable } from '../../support/dynamo-table.ts';

export interface SandboxAgent {
  readonly node: string;
  readonly config: DatabaseHostConfig;
  start(): void;
  kill(signal?: NodeJS.Signals): Promise<void>;
  pid(): number;
  log(): string;
}

/** Built once a test process. */
let bundle: Promise<string> | null = null;

async function builtAgent(): Promise<string> {
  bundle ??= (async () => {
    const folder = mkdtempSync(join(tmpdir(), 'leasehold-agent-'));
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    await bundleAgent(folder);
    return join(folder, 'main.mjs');
  })();
  return bundle;
}

export class AgentsSandbox {
  readonly folder: string;
  readonly store: ClusterStore;
  readonly agents: SandboxAgent[] = [];
  readonly #table: TestTable;
  readonly #program: string;
  readonly #binDir: string;
  readonly #ports = new Set<number>();
  readonly #onExit = (): void => this.#killAll();

  private constructor(table: TestTable, program: string, binDir: string) {
    this.folder = mkdtempSync(join(tmpdir(), 'leasehold-agents-'));
    chmodSync(this.folder, 0o755);
    this.#table = table;
    this.#program = program;
    this.#binDir = binDir;
    const client = createDynamoClient(table.config);
    this.store = createClusterStore({ client, tableName: table.tableName, cluster: 'main' });
    process.once('exit', this.#onExit);
  }

  static async open(spec: Partial<ClusterSpec> = {}): Promise<AgentsSandbox> {
    const found = await findInstallation();
    if (found.kind !== 'installation') throw new Error('PostgreSQL is not installed');
    const sandbox = new AgentsSandbox(await startTestTable(), await builtAgent(), found.binDir);
    const record = newRecord({
      cluster: 'main',
      spec: { ...defaultSpec, heartbeatMs: 500, ttlMs: 3_000, ...spec },
      proxies: [],
    });
    const created = await sandbox.store.createRecord(record);
    if (created.kind !== 'ok') throw new Error(`the record was not created: ${created.kind}`);
    return sandbox;
  }

  async addAgent(node: string): Promise<SandboxAgent> {
    const folder = join(this.folder, node);
    const runAs = unprivilegedUser();
    mkdirSync(join(folder, 'log'), { recursive: true });
    mkdirSync(join(folder, 'data'), { recursive: true });
    if (runAs !== null) chownSync(join(folder, 'data'), runAs.uid, runAs.gid);
    const config: DatabaseHostConfig = {
      role: 'database',
      cluster: 'main',
      node,
      instanceId: `i-${node}`,
      region: this.#table.config.region,
      tableName: this.#table.tableName,
      stateMachineArn: 'arn:aws:states:us-east-1:000000000000:stateMachine:none',
      folder,
      host: '127.0.0.1',
      restPort: 0,
      wakePort: 0,
      runAs,
      actions: 'both',
      secrets: {
        superuser: { name: 'postgres', password: 'superuser-of-the-test' },
        replication: { name: 'replicator', password: 'replicator-of-the-test' },
        cluster: 'secret-of-the-test',
      },
      secretIds: null,
      tags: { nofailover: false, failoverPriority: 0 },
      watchdog: null,
      postgres: {
        binDir: this.#binDir,
        port: await chooseFreePort(this.#ports),
        listen: '127.0.0.1',
        settings: { shared_buffers: '16MB', fsync: 'off' },
      },
    };
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config), { mode: 0o600 });
    const agent = this.#agent(node, config);
    this.agents.push(agent);
    return agent;
  }

  async head(): Promise<{ record: ClusterRecord; lease: Lease | null }> {
    const answer = await this.store.readHead();
    if (answer.kind !== 'ok' || answer.value.record === null) throw new Error(`no record: ${answer.kind}`);
    return { record: answer.value.record, lease: answer.value.lease };
  }

  /** Waits, at most `timeoutMs`; on a time-out the end of every agent's log is in the error. */
  async until(what: string, test: () => Promise<boolean> | boolean, timeoutMs = 60_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await test())) {
      if (performance.now() > deadline)
        throw new Error(`waited ${timeoutMs} ms for: ${what}\n${this.#logs()}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async untilRedundant(standbys: number, timeoutMs = 90_000): Promise<string> {
    let primary = '';
    await this.until(
      `a primary and ${standbys} streaming standbys`,
      async () => {
        const { lease } = await this.head();
        const nodes = await this.store.readNodes();
        if (lease?.state !== 'held' || nodes.kind !== 'ok') return false;
        primary = lease.holder;
        return nodes.value.filter((one) => one.streaming && one.upstream === primary).length === standbys;
      },
      timeoutMs,
    );
    return primary;
  }

  async eventKinds(): Promise<string[]> {
    const events = await this.store.listEvents(200);
    return events.kind === 'ok' ? events.value.map((event) => event.kind) : [];
  }

  /** Every process whose command line names this sandbox's folder, or that agent's. */
  processes(agent?: SandboxAgent): number[] {
    const folder = agent?.config.folder ?? this.folder;
    return listPids().filter((pid) => pid !== process.pid && commandLine(pid).includes(folder));
  }

  async close(): Promise<void> {
    this.#killAll();
    process.removeListener('exit', this.#onExit);
    await this.#table.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #killAll(): void {
    for (let round = 0; round < 100; round += 1) {
      const postgres = this.agents.flatMap(({ config }) => serverPids(join(config.folder, 'data', 'pgdata')));
      const left = [...new Set([...this.processes(), ...postgres])];
      for (const pid of left) sendSignal(pid, 'SIGKILL');
      if (left.length === 0) return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }

  #agent(node: string, config: DatabaseHostConfig): SandboxAgent {
    const logPath = join(config.folder, 'log', 'agent.log');
    let child: ChildProcess | null = null;
    return {
      node,
      config,
      start: () => {
        const log = openSync(logPath, 'a');
        child = spawn(
          process.execPath,
          [...agentNodeOptions, this.#program, 'run', '--config', join(config.folder, 'config.json')],
          {
            stdio: ['ignore', log, log],
            env: {
              PATH: process.env.PATH,
              AWS_ENDPOINT_URL: this.#table.config.endpoint,
              AWS_ACCESS_KEY_ID: 'test',
              AWS_SECRET_ACCESS_KEY: 'test',
            },
          },
        );
      },
      pid: () => child?.pid ?? 0,
      kill: async (signal = 'SIGKILL') => {
        const running = child;
        if (running === null || running.exitCode !== null || running.signalCode !== null) return;
        const ended = new Promise((resolve) => running.once('exit', resolve));
        running.kill(signal);
        await ended;
      },
      log: () => {
        try {
          return readFileSync(logPath, 'utf8');
        } catch {
          return '';
        }
      },
    };
  }

  #logs(): string {
    return this.agents.map((agent) => `--- ${agent.node}\n${agent.log().slice(-2_000)}`).join('\n');
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

/** Server processes at work in that data directory, also without a postmaster. */
export function serverPids(dataDirectory: string): number[] {
  return listPids().filter((pid) => {
    try {
      const status = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const state = status.slice(status.lastIndexOf(')') + 2)[0];
      return state !== 'Z' && processWorkingDirectory(pid) === dataDirectory;
    } catch {
      return false;
    }
  });
}
