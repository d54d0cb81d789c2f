/**
 * A primary and a standby with an endpoint before them, as one proxy host has it: real HAProxy, PgBouncer and PostgreSQL, and two
 * small REST servers that answer HAProxy's health checks as agents do. `dispose` ends everything.
 */
import { mkdirSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { sendSignal } from '../../../adapters/process.ts';
import { ProxyEndpoint } from '../../../adapters/proxy/endpoint.ts';
import type { EndpointOptions } from '../../../adapters/proxy/endpoint-options.ts';
import { findProxyPrograms } from '../../../adapters/proxy/find-programs.ts';
import type { Route } from '../../../adapters/proxy/route-file.ts';
import { freePort, PostgresSandbox, type SandboxNode } from './postgres-sandbox.ts';
import { type ClientAccess, connected, Writer } from './writer.ts';

/** Plays the agent's REST: `/primary` or `/replica` is 200 by `role`, everything is 503 when `role` is null. */
class RestOfAgent {
  role: 'primary' | 'replica' | null;
  readonly #server: Server;

  private constructor(role: 'primary' | 'replica') {
    this.role = role;
    this.#server = createServer((request, response) => {
      response.writeHead(this.role !== null && request.url === `/${this.role}` ? 200 : 503).end();
    });
  }

  static async listen(role: 'primary' | 'replica'): Promise<RestOfAgent> {
    const rest = new RestOfAgent(role);
    await new Promise<void>((resolve) => rest.#server.listen(0, '127.0.0.1', resolve));
    return rest;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

export class EndpointBench {
  readonly sandbox: PostgresSandbox;
  readonly first: SandboxNode;
  readonly second: SandboxNode;
  readonly rest: { readonly first: RestOfAgent; readonly second: RestOfAgent };
  readonly options: EndpointOptions;
  endpoint: ProxyEndpoint;
  readonly #writers: Writer[] = [];
  /** HAProxy and PgBouncer outlive whoever started them, so a test worker that dies must end them. */
  readonly #onExit = () => {
    for (const pid of Object.values(this.endpoint.pids())) sendSignal(pid, 'SIGKILL');
  };

  private constructor(
    sandbox: PostgresSandbox,
    nodes: [SandboxNode, SandboxNode],
    rest: { first: RestOfAgent; second: RestOfAgent },
    options: EndpointOptions,
    endpoint: ProxyEndpoint,
  ) {
    this.sandbox = sandbox;
    [this.first, this.second] = nodes;
    this.rest = rest;
    this.options = options;
    this.endpoint = endpoint;
    process.once('exit', this.#onExit);
  }

  /** `first` is primary and routed to by epoch 1; `second` streams from it. */
  static async create(overrides: Partial<EndpointOptions> = {}): Promise<EndpointBench> {
    const programs = await findProxyPrograms();
    if (programs.kind !== 'found') throw new Error(programs.detail);
    const sandbox = await PostgresSandbox.create();
    try {
      const first = await sandbox.primary('first');
      await sandbox.value(first, 'create table written (writer text, row int, primary key (writer, row))');
      const second = await sandbox.standby('second', first);
      const rest = {
        first: await RestOfAgent.listen('primary'),
        second: await RestOfAgent.listen('replica'),
      };
      const folder = join(sandbox.folder, 'proxy');
      mkdirSync(folder);
      const listener = async () => ({ host: '127.0.0.1', port: await freePort() });
      const { name, password } = first.postgres.host.superuser;
      const options: EndpointOptions = {
        programs: { haproxy: programs.haproxy.path, pgbouncer: programs.pgbouncer.path },
        folder,
        logFolder: join(sandbox.folder, 'log'),
        runAs: sandbox.runAs,
        listeners: { endpoint: await listener(), primary: await listener(), replicas: await listener() },
        pgbouncer: await listener(),
        nodes: [
          { nodeId: 'first', host: '127.0.0.1', port: first.port, restPort: rest.first.port },
          { nodeId: 'second', host: '127.0.0.1', port: second.port, restPort: rest.second.port },
        ],
        users: [{ name, secret: password }],
        poolSize: 10,
        check: { intervalMs: 100, failures: 3 },
        ...overrides,
      };
      const opened = await ProxyEndpoint.open(options);
      if (opened.kind !== 'open') throw new Error(JSON.stringify(opened));
      const bench = new EndpointBench(sandbox, [first, second], rest, options, opened.endpoint);
      await opened.endpoint.routeTo(bench.route('first', 1));
      await opened.endpoint.setReplicas(options.nodes.slice(1));
      return bench;
    } catch (error) {
      await sandbox.dispose();
      throw error;
    }
  }

  route(nodeId: 'first' | 'second', epoch: number): Route {
    const node = this.options.nodes.find((each) => each.nodeId === nodeId);
    if (node === undefined) throw new Error(`no node ${nodeId}`);
    return { ...node, epoch };
  }

  access(listener: 'endpoint' | 'primary' | 'replicas' = 'endpoint'): ClientAccess {
    const { name, password } = this.first.postgres.host.superuser;
    return { ...this.options.listeners[listener], user: name, password, database: 'postgres' };
  }

  /** Starts so many writers through the endpoint; they run until `dispose` or their own `stop`. */
  async writers(count: number, pauseMs = 1): Promise<Writer[]> {
    const started = Array.from(
      { length: count },
      (_, at) => new Writer(`w${this.#writers.length + at}`, this.access(), pauseMs),
    );
    this.#writers.push(...started);
    await Promise.all(started.map((writer) => writer.progresses(20, 10_000)));
    return started;
  }

  client(listener: 'endpoint' | 'primary' | 'replicas' = 'endpoint') {
    return connected(this.access(listener));
  }

  /** Acknowledged rows of these writers that the node does not have. */
  async lost(writers: readonly Writer[], node: SandboxNode): Promise<string[]> {
    const client = await this.sandbox.client(node);
    const { rows } = await client.query<{ writer: string; row: number }>('select writer, row from written');
    const present = new Set(rows.map(({ writer, row }) => `${writer}/${row}`));
    return writers
      .flatMap(({ name, acknowledged }) => acknowledged.map((row) => `${name}/${row}`))
      .filter((row) => !present.has(row));
  }

  /**
   * All processes of the first node die at once, as with their host. (A fence kills them one after the other, the postmaster last: it
   * would take a connection in between and drop it in its login, which a dead host does not.)
   */
  async crashFirst(): Promise<void> {
    for (const { pid } of this.first.postgres.findProcesses()) sendSignal(pid, 'SIGKILL');
    await this.first.postgres.killAll('the host died', 10_000);
    this.rest.first.role = null;
  }

  /** Stops the first node cleanly and makes the second the primary, as the agents of both do in a switchover. */
  async handOver(): Promise<void> {
    const stopped = await this.first.postgres.stopFast(10_000);
    if (stopped.kind !== 'stopped') throw new Error(JSON.stringify(stopped));
    this.rest.first.role = null;
    await this.promoteSecond();
  }

  async promoteSecond(): Promise<void> {
    const ordered = await this.second.postgres.promote();
    const writable = await this.second.postgres.awaitWritable(10_000);
    if (writable.kind !== 'writable')
      throw new Error(`${JSON.stringify(ordered)} ${JSON.stringify(writable)}`);
    this.rest.second.role = 'primary';
  }

  async dispose(): Promise<void> {
    const stopping = this.#writers.map((writer) => writer.stop());
    await this.endpoint.stop();
    process.removeListener('exit', this.#onExit);
    await Promise.all(stopping);
    this.rest.first.close();
    this.rest.second.close();
    await this.sandbox.dispose();
  }
}
