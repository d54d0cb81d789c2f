/**
 * A whole cluster in the hands of a program of this machine: the main job, a test, a benchmark. Brings one up through the same
 * runtime process as `leasehold up`, tied to this process so that nothing stays behind, and gives what such a program needs to
 * look at it and to hurt it.
 */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Client } from 'pg';
import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import { sleepMs } from '../../adapters/clock.ts';
import { type ClusterFolder, clusterFolder, readRuntimeFile } from '../../cli/cluster/cluster-folder.ts';
import { type Endpoints, readEndpoints } from '../../cli/cluster/endpoints.ts';
import { missingForRedundancy, type WantedCluster } from '../../cli/cluster/redundancy.ts';
import {
  cleanUp,
  endProcess,
  logTail,
  startRuntime,
  storeOf,
  untie,
  waitUntilWhole,
} from '../../cli/cluster/runtime-process.ts';
import { type HostDriverName, parseClusterFile } from '../../core/wire/parse-cluster-file.ts';
import type { AwayMode, ServiceName } from '../aws/away.ts';
import type { LatencyProfile } from '../aws/latency-profile.ts';
import type { UsageLine } from '../aws/usage-meter.ts';
import { sendControl } from './control-server.ts';
import { readJsonFile } from './json-file.ts';
import type { Delay } from './netns/delayed-pipe.ts';
import type { NetworkPlan } from './netns/network-plan.ts';
import type { RelayCounts, RelayLink } from './netns/relay.ts';

export interface BringUp {
  readonly clusterFile: string;
  /** In place of what the cluster file says. */
  readonly hosts?: HostDriverName;
  /** How late AWS answers; left out: at once. */
  readonly latency?: LatencyProfile;
  /** A file that names a control plane elsewhere, which the hosts join. */
  readonly controlPlane?: string;
  /** In whose `.leasehold/` the cluster is kept. */
  readonly project: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

const pollMs = 50;
const awayTimeoutMs = 5_000;
const never = new AbortController().signal;

export class ClusterHandle {
  readonly folder: ClusterFolder;
  readonly project: string;
  readonly wanted: WantedCluster;
  readonly #child: ChildProcess;

  private constructor(options: BringUp, wanted: WantedCluster, folder: ClusterFolder, child: ChildProcess) {
    this.folder = folder;
    this.project = options.project;
    this.wanted = wanted;
    this.#child = child;
  }

  /** Returns once the cluster is whole. When it does not become so, or the signal is aborted, all is down before it throws. */
  static async bringUp(options: BringUp): Promise<ClusterHandle> {
    const file = parseClusterFile(JSON.parse(readFileSync(options.clusterFile, 'utf8')));
    const folder = clusterFolder(options.project, file.cluster);
    const wanted = {
      nodes: file.nodes.map(({ id }) => id),
      proxies: file.proxies.map(({ id }) => id),
    };
    const child = startRuntime({ ...options, folder, tied: true });
    const handle = new ClusterHandle(options, wanted, folder, child);
    try {
      await waitUntilWhole({
        folder,
        wanted,
        child,
        timeoutMs: options.timeoutMs,
        signal: options.signal ?? never,
        onProgress: options.onProgress ?? (() => undefined),
      });
    } catch (error) {
      await handle.down();
      throw error;
    }
    return handle;
  }

  /** As they are now: pids change. */
  endpoints(): Endpoints {
    const endpoints = readEndpoints(this.folder);
    if (endpoints === null) throw new Error(`the cluster is not up\n${logTail(this.folder)}`);
    return endpoints;
  }

  store(): ClusterStore {
    return storeOf(this.endpoints());
  }

  /** The runtime process itself. */
  pid(): number {
    if (this.#child.pid === undefined) throw new Error('the runtime could not be started');
    return this.#child.pid;
  }

  /** What is missing from a whole cluster; empty when nothing is. */
  async missing(): Promise<string[]> {
    return missingForRedundancy(this.store(), this.endpoints(), this.wanted);
  }

  /** Waits until nothing is missing; the milliseconds it took. Throws with what is still missing when the time is up. */
  async untilWhole(timeoutMs: number, signal: AbortSignal = never): Promise<number> {
    const startedMs = performance.now();
    for (;;) {
      signal.throwIfAborted();
      const missing = await this.missing();
      const tookMs = performance.now() - startedMs;
      if (missing.length === 0) return Math.round(tookMs);
      if (tookMs > timeoutMs) {
        throw new Error(`not whole after ${Math.round(timeoutMs / 1000)} s: ${missing.join('; ')}`);
      }
      await sleepMs(pollMs);
    }
  }

  /** The node that holds the lease. */
  async primary(): Promise<string> {
    const head = await this.store().readHead();
    if (head.kind !== 'ok') throw new Error(`DynamoDB: ${head.kind}: ${head.message}`);
    if (head.value.lease?.state !== 'held') throw new Error('nobody holds the lease');
    return head.value.lease.holder;
  }

  /** A node other than the primary. */
  async standby(): Promise<string> {
    const primary = await this.primary();
    const standby = this.wanted.nodes.find((id) => id !== primary);
    if (standby === undefined) throw new Error('there is no standby');
    return standby;
  }

  dsn(node: string): string {
    const dsn = this.endpoints().dsn.nodes[node];
    if (dsn === undefined) throw new Error(`there is no node ${node}`);
    return dsn;
  }

  /** Rows of a query on a node, or through the endpoint. Throws what PostgreSQL says. */
  async query<Row extends object>(
    on: string | 'endpoint',
    sql: string,
    values: unknown[] = [],
  ): Promise<Row[]> {
    const connectionString = on === 'endpoint' ? this.endpoints().dsn.endpoint : this.dsn(on);
    const client = new Client({ connectionString, connectionTimeoutMillis: 5_000, query_timeout: 30_000 });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Row>(sql, values)).rows;
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  /** SIGKILL of everything on a host at once; EC2 goes on calling it running. */
  async killHost(host: string): Promise<void> {
    await this.#command('kill-host', host);
  }

  /** Starts a killed host's agent and worker, as a reboot would; EC2 is not asked. */
  async bootHost(host: string): Promise<void> {
    await this.#command('boot-host', host);
  }

  /** SIGKILL of the agent, which is started again as any crashed service. */
  async killAgent(host: string): Promise<void> {
    await this.#command('kill-agent', host);
  }

  /** SIGKILL of the agent, which is not started again until `startAgent`. */
  async holdAgent(host: string): Promise<void> {
    await this.#command('hold-agent', host);
  }

  async startAgent(host: string): Promise<void> {
    await this.#command('start-agent', host);
  }

  /** Pids of all living processes of a host. */
  async hostProcesses(host: string): Promise<number[]> {
    return (await this.#command('host-processes', host)) as number[];
  }

  /** Takes an AWS service from all its clients, or with null brings it back. */
  async setAway(service: ServiceName, mode: AwayMode | null): Promise<void> {
    const answer = await fetch(`${this.endpoints().awsEndpointUrl}/_leasehold/away`, {
      method: 'POST',
      body: JSON.stringify({ service, mode }),
      signal: AbortSignal.timeout(awayTimeoutMs),
    });
    if (!answer.ok)
      throw new Error(`${service} could not be made ${mode ?? 'present'}: ${await answer.text()}`);
  }

  /** What AWS would have counted since the cluster came up: two readings tell what was used in between. */
  async awsUsage(): Promise<UsageLine[]> {
    return (await this.#command('aws-usage', '')) as UsageLine[];
  }

  /** The hosts' own network; null with the driver `loopback`. */
  network(): NetworkPlan | null {
    return readJsonFile<NetworkPlan>(this.folder.network);
  }

  /** From now on data is that late between a host and AWS, or between clients of this machine and a host; '' is every host. */
  async delay(link: RelayLink, host: string, delay: Delay): Promise<void> {
    await this.#command('relay-delay', host, JSON.stringify({ link, delay }));
  }

  /** What the relay has carried, by `aws <address>` and `clients <address>:<port>`. */
  async relayCounts(): Promise<Readonly<Record<string, RelayCounts>>> {
    return (await this.#command('relay-counts', '')) as Readonly<Record<string, RelayCounts>>;
  }

  /** Lets the cluster outlive this process. */
  leaveUp(): void {
    untie(this.#child);
  }

  /** Ends everything, left-overs included; keeps the data unless told. */
  async down(removeData = false): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid !== undefined && exitCode === null && signalCode === null) await endProcess(pid);
    await cleanUp(this.folder, this.project, removeData, () => undefined);
  }

  async #command(name: string, host: string, detail = ''): Promise<unknown> {
    const runtime = readRuntimeFile(this.folder);
    if (runtime === null) throw new Error('the runtime does not run');
    return sendControl(this.folder.path, runtime.token, { name, host, detail });
  }
}
