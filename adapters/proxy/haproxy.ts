/**
 * One HAProxy: starts it or adopts the one that outlived the agent, and says by its runtime socket which node is primary and which
 * standbys take readers. Upholds "no proxy routes to a node of an older epoch": a node that is not the primary is in maintenance, and
 * what was connected to it is ended. Out always comes before in.
 */
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readTextFile } from '../postgres/files.ts';
import type { RunAs } from '../process.ts';
import type { Backend, HaproxyConfig, NodeAddress } from './haproxy-config.ts';
import {
  holdServer,
  nodeAddressProblem,
  pgbouncerServer,
  reconnectMs,
  renderHaproxyConfig,
  serverArguments,
} from './haproxy-config.ts';
import type { RuntimeAnswer, ServerState, ServersSeen, SessionState } from './haproxy-runtime.ts';
import { parseConnectionCounts, parseServersState, parseSessions, runCommands } from './haproxy-runtime.ts';
import type { KeptProcess } from './kept-process.ts';
import {
  adoptKept,
  isRunning,
  logLength,
  logSince,
  ownFolder,
  signalKept,
  startKept,
  stopKept,
  writeWhole,
} from './kept-process.ts';
import type { ProgramFailure } from './program-failure.ts';

export interface HaproxyOptions extends Omit<HaproxyConfig, 'runtimeSocket' | 'upstreamSocket'> {
  /** Path of the program. */
  readonly program: string;
  /** Existing folder for its files and sockets, which `runAs` may enter and write. */
  readonly folder: string;
  readonly logFile: string;
  readonly runAs: RunAs | null;
}

export type HaproxyResult =
  | { readonly kind: 'done' }
  | { readonly kind: 'unreachable'; readonly detail: string }
  | { readonly kind: 'invalid-input'; readonly detail: string };

export interface HaproxyState {
  readonly kind: 'state';
  /** The node that is let in as primary; null: connections wait. */
  readonly primary: string | null;
  /** Whether connections reach it: not while its health checks fail. */
  readonly primaryUp: boolean;
  readonly replicas: readonly { readonly nodeId: string; readonly up: boolean }[];
  readonly nodes: readonly { readonly nodeId: string; readonly host: string; readonly port: number }[];
}

const commandTimeoutMs = 1_000;
const startTimeoutMs = 5_000;
const stopTimeoutMs = 1_000;
/** Linux's limit for a socket's path is 107 bytes, and HAProxy binds under a temporary name that is longer by its pid. */
const longestSocketPath = 90;
/** The port in the name of HAProxy's socket for PgBouncer; libpq's naming, nothing listens on it. */
const upstreamPort = 5432;
const backends = ['primary', 'replicas'] as const;

const configFile = (folder: string) => join(folder, 'haproxy.cfg');
const pidFile = (folder: string) => join(folder, 'haproxy.pid');
const runtimeSocket = (folder: string) => join(folder, 'haproxy.sock');

/** Where a HAProxy of this folder takes PgBouncer's connections, as PgBouncer names it. */
export function upstreamOf(folder: string): { folder: string; port: number; socket: string } {
  const upstream = join(folder, 'upstream');
  return { folder: upstream, port: upstreamPort, socket: join(upstream, `.s.PGSQL.${upstreamPort}`) };
}

export class Haproxy {
  readonly #options: HaproxyOptions;
  readonly #process: KeptProcess;
  readonly #socket: string;
  /** Ends the second sweep of connections when the object is let go. */
  readonly #letGo = new AbortController();
  readonly adopted: boolean;
  /** What `prepare` saw, until the next command. */
  #seen: ServersSeen | null = null;

  private constructor(options: HaproxyOptions, kept: KeptProcess, adopted: boolean) {
    this.#options = options;
    this.#process = kept;
    this.#socket = runtimeSocket(options.folder);
    this.adopted = adopted;
  }

  /** Adopts the HAProxy of this folder if it runs and answers (its route stays as it is); starts one that routes nowhere otherwise. */
  static async open(options: HaproxyOptions): Promise<{ kind: 'open'; haproxy: Haproxy } | ProgramFailure> {
    const problem = optionsProblem(options);
    if (problem !== null) return { kind: 'invalid-input', detail: problem };
    const running = await adoptKept(pidFile(options.folder));
    if (running) {
      const adopted = new Haproxy(options, running, true);
      // The file is that of the running one: nobody rewrites it for another way to PgBouncer.
      const isAsWanted = (await readTextFile(configFile(options.folder)))?.includes(pgbouncerServer(options));
      const nodes = isAsWanted ? await adopted.#learn(options.nodes) : null;
      if (nodes?.kind === 'done') return { kind: 'open', haproxy: adopted };
      await adopted.stop();
    }
    const upstream = upstreamOf(options.folder);
    await mkdir(dirname(upstream.socket), { recursive: true });
    await writeWhole(configFile(options.folder), renderedFor(options, options.nodes), {
      mode: 0o600,
      owner: options.runAs,
    });
    await ownFolder(dirname(upstream.socket), options.runAs);
    const logged = await logLength(options.logFile);
    let kept: KeptProcess;
    try {
      kept = await startKept({
        program: options.program,
        args: ['-db', '-f', configFile(options.folder)],
        pidFile: pidFile(options.folder),
        logFile: options.logFile,
        runAs: options.runAs,
      });
    } catch (error) {
      return { kind: 'not-started', program: 'haproxy', detail: (error as Error).message };
    }
    const started = new Haproxy(options, kept, false);
    const deadline = performance.now() + startTimeoutMs;
    while (started.isRunning() && performance.now() < deadline) {
      if ((await started.#run(['show info'])).kind === 'answered') return { kind: 'open', haproxy: started };
      await sleep(10);
    }
    const log = await logSince(options.logFile, logged);
    await started.stop();
    return { kind: 'not-started', program: 'haproxy', detail: log };
  }

  get pid(): number {
    return this.#process.pid;
  }

  isRunning(): boolean {
    return isRunning(this.#process);
  }

  /**
   * Lets in this node as the primary, and no other; null: none, so that connections wait. Established connections to the others
   * are ended by the time this resolves; those that are still being made are dispatched anew by HAProxy itself.
   */
  async routeTo(node: NodeAddress | null): Promise<HaproxyResult> {
    const servers = this.#seen ?? (await this.#servers());
    if (servers.kind !== 'servers') return servers;
    if (node !== null) {
      const added = await this.#ensureNode('primary', node, servers.all);
      if (added.kind !== 'done') return added;
    }
    const before = servers.all.find(
      ({ backend, server }) => backend === 'primary' && server === node?.nodeId,
    );
    // Its old address may be a host that somebody else has by now: what is connected there ends too.
    const moved = before?.enabled === true && (before.host !== node?.host || before.port !== node?.port);
    const others = servers.all.filter(
      ({ backend, server }) => backend === 'primary' && server !== node?.nodeId && server !== holdServer,
    );
    const out = others.map(({ server }) => `set server primary/${server} state maint`);
    // Let in once only: said again, it would overrule the health checks that have taken the node out since.
    const isIn = before?.enabled === true;
    const into = node === null || isIn ? [] : enableCommands('primary', node);
    const answer = await this.#run([...out, ...into, 'show stat primary 4 -1']);
    if (answer.kind === 'unreachable') return answer;
    const left = moved && before !== undefined ? [...others, before] : others;
    // In a planned change nobody is connected any more, and looking for him among thousands of sessions would take milliseconds.
    const busy = parseConnectionCounts(answer.answers.join('\n'));
    return this.#endConnections(left.map(({ server }) => server).filter((name) => busy.get(name) !== 0));
  }

  /** Looks now at what the next `routeTo` would have to look at while clients wait. */
  async prepare(): Promise<void> {
    const servers = await this.#servers();
    this.#seen = servers.kind === 'servers' ? servers : null;
  }

  /** Gives readers these standbys, and no other. Their health checks may take one out for a time. */
  async setReplicas(nodes: readonly NodeAddress[]): Promise<HaproxyResult> {
    for (const node of nodes) {
      const added = await this.#ensureNode('replicas', node);
      if (added.kind !== 'done') return added;
    }
    const servers = await this.#servers();
    if (servers.kind !== 'servers') return servers;
    const wanted = new Set(nodes.map(({ nodeId }) => nodeId));
    const present = servers.all.filter(({ backend }) => backend === 'replicas');
    const enabled = new Set(present.filter((server) => server.enabled).map(({ server }) => server));
    const out = present
      .filter(({ server }) => !wanted.has(server))
      .flatMap(({ server }) => [
        `set server replicas/${server} state maint`,
        `shutdown sessions server replicas/${server}`,
      ]);
    const into = nodes
      .filter(({ nodeId }) => !enabled.has(nodeId))
      .flatMap((node) => enableCommands('replicas', node));
    return doneOr(await this.#run([...out, ...into]));
  }

  /**
   * Makes the known nodes these: new ones come in maintenance, those that left go (their connections end). Also rewrites the file,
   * so that a HAProxy that is started anew knows them.
   */
  async setNodes(nodes: readonly NodeAddress[]): Promise<HaproxyResult> {
    const problem = nodes.map(nodeAddressProblem).find((each) => each !== null);
    if (problem) return { kind: 'invalid-input', detail: problem };
    const servers = await this.#servers();
    if (servers.kind !== 'servers') return servers;
    const known = new Set(nodes.map(({ nodeId }) => nodeId));
    const left = servers.all.filter(({ server }) => server !== holdServer && !known.has(server));
    const removal = left.flatMap(({ backend, server }) => [
      `set server ${backend}/${server} state maint`,
      `shutdown sessions server ${backend}/${server}`,
    ]);
    const removed = await this.#run(removal);
    if (removed.kind === 'unreachable') return removed;
    // A server whose connections are still being taken down cannot go yet: it stays, in maintenance, until the next call.
    const deleted = await this.#run(left.map(({ backend, server }) => `del server ${backend}/${server}`));
    if (deleted.kind === 'unreachable') return deleted;
    for (const node of nodes)
      for (const backend of backends) {
        const added = await this.#ensureNode(backend, node, servers.all);
        if (added.kind !== 'done') return added;
      }
    await writeWhole(configFile(this.#options.folder), renderedFor(this.#options, nodes), {
      mode: 0o600,
      owner: this.#options.runAs,
    });
    return { kind: 'done' };
  }

  /** Ends PgBouncer's connections to the primary: whoever is in a transaction gets an error. */
  async endUpstreamConnections(): Promise<HaproxyResult> {
    return this.#endEstablished(({ frontend }) => frontend === 'upstream');
  }

  async state(): Promise<HaproxyState | { readonly kind: 'unreachable'; readonly detail: string }> {
    const servers = await this.#servers();
    if (servers.kind !== 'servers') return servers;
    const nodes = servers.all.filter(({ server }) => server !== holdServer);
    const primary = nodes.find(({ backend, enabled }) => backend === 'primary' && enabled);
    return {
      kind: 'state',
      primary: primary?.server ?? null,
      primaryUp: primary?.up ?? false,
      replicas: nodes
        .filter(({ backend, enabled }) => backend === 'replicas' && enabled)
        .map(({ server, up }) => ({ nodeId: server, up })),
      nodes: nodes
        .filter(({ backend }) => backend === 'primary')
        .map(({ server, host, port }) => ({ nodeId: server, host, port })),
    };
  }

  /**
   * Takes these nodes in, and lets none go: an agent that has just started knows nobody yet, and a node that it does not know may be the
   * one to which everybody is connected.
   */
  async #learn(nodes: readonly NodeAddress[]): Promise<HaproxyResult> {
    const servers = await this.#servers();
    if (servers.kind !== 'servers') return servers;
    for (const node of nodes)
      for (const backend of backends) {
        const added = await this.#ensureNode(backend, node, servers.all);
        if (added.kind !== 'done') return added;
      }
    return { kind: 'done' };
  }

  /** Lets go of it; HAProxy goes on. */
  detach(): void {
    this.#letGo.abort();
  }

  /** Ends HAProxy; every connection through it ends. */
  async stop(): Promise<void> {
    this.detach();
    await stopKept(this.#process, pidFile(this.#options.folder), 'SIGTERM', stopTimeoutMs);
    await rm(this.#socket, { force: true });
  }

  /** Ends HAProxy as a crash would. For tests and for one that hangs. */
  crash(): void {
    signalKept(this.#process, 'SIGKILL');
  }

  #run(commands: readonly string[]): Promise<RuntimeAnswer> {
    this.#seen = null;
    if (commands.length === 0) return Promise.resolve({ kind: 'answered', answers: [] });
    return runCommands(this.#socket, commands, commandTimeoutMs);
  }

  async #servers(): Promise<ServersSeen | { kind: 'unreachable'; detail: string }> {
    const answer = await this.#run(backends.map((backend) => `show servers state ${backend}`));
    if (answer.kind === 'unreachable') return answer;
    return { kind: 'servers', all: answer.answers.flatMap(parseServersState) };
  }

  /** Adds the node to the backend, in maintenance, or gives it its new address. */
  async #ensureNode(
    backend: Backend,
    node: NodeAddress,
    known?: readonly ServerState[],
  ): Promise<HaproxyResult> {
    const problem = nodeAddressProblem(node);
    if (problem !== null) return { kind: 'invalid-input', detail: problem };
    let all = known;
    if (all === undefined) {
      const servers = await this.#servers();
      if (servers.kind !== 'servers') return servers;
      all = servers.all;
    }
    const path = `${backend}/${node.nodeId}`;
    const present = all.find((each) => each.backend === backend && each.server === node.nodeId);
    if (present === undefined) {
      const answer = await this.#run([
        `add server ${path} ${serverArguments(backend, node, this.#options.check)}`,
      ]);
      if (answer.kind === 'unreachable') return answer;
      const said = answer.answers.join(' ');
      return /registered/.test(said) ? { kind: 'done' } : { kind: 'invalid-input', detail: said };
    }
    const commands: string[] = [];
    if (present.host !== node.host || present.port !== node.port)
      commands.push(`set server ${path} addr ${node.host} port ${node.port}`);
    if (node.restPort !== null && present.checkPort !== node.restPort)
      commands.push(`set server ${path} check-port ${node.restPort}`);
    return doneOr(await this.#run(commands));
  }

  /**
   * Ends what is connected to these servers. First the established connections, one by one: a connection in the making would take
   * its end for a refused login, and PgBouncer would turn clients away for it; HAProxy dispatches those anew. One of them may
   * still have got through to a node that is out, so a sweep follows when none can be in the making any more.
   */
  async #endConnections(servers: readonly string[]): Promise<HaproxyResult> {
    if (servers.length === 0) return { kind: 'done' };
    const ended = await this.#endEstablished(({ server }) => servers.includes(server));
    void this.#sweepLater(servers);
    return ended;
  }

  async #endEstablished(doomed: (session: SessionState) => boolean): Promise<HaproxyResult> {
    const answer = await this.#run(['show sess']);
    if (answer.kind === 'unreachable') return answer;
    const sessions = parseSessions(answer.answers.join('\n')).filter(
      (session) => session.backend === 'primary' && session.established && doomed(session),
    );
    return doneOr(await this.#run(sessions.map(({ id }) => `shutdown session ${id}`)));
  }

  async #sweepLater(servers: readonly string[]): Promise<void> {
    const lets = sleep(3 * reconnectMs, true, { signal: this.#letGo.signal, ref: false });
    if (!(await lets.catch(() => false))) return;
    const now = await this.#servers();
    if (now.kind !== 'servers') return;
    const out = now.all.filter(
      ({ backend, server, enabled }) => backend === 'primary' && !enabled && servers.includes(server),
    );
    await this.#run(out.map(({ server }) => `shutdown sessions server primary/${server}`));
  }
}

/** In, and with full health: the node's own REST may answer 503 for the first moments after its promotion. */
function enableCommands(backend: Backend, node: NodeAddress): string[] {
  const path = `${backend}/${node.nodeId}`;
  const health = node.restPort === null ? [] : [`enable health ${path}`, `set server ${path} health up`];
  return [`set server ${path} state ready`, ...health];
}

function doneOr(answer: RuntimeAnswer): HaproxyResult {
  return answer.kind === 'answered' ? { kind: 'done' } : answer;
}

function renderedFor(options: HaproxyOptions, nodes: readonly NodeAddress[]): string {
  return renderHaproxyConfig({
    ...options,
    nodes,
    runtimeSocket: runtimeSocket(options.folder),
    upstreamSocket: upstreamOf(options.folder).socket,
  });
}

function optionsProblem(options: HaproxyOptions): string | null {
  const sockets = [runtimeSocket(options.folder), upstreamOf(options.folder).socket, options.pgbouncerSocket];
  const long = sockets.find((path) => Buffer.byteLength(path) > longestSocketPath);
  if (long !== undefined) return `the path of the socket ${long} is longer than ${longestSocketPath} bytes`;
  if (/\s/.test(options.folder))
    return `the folder ${options.folder} has a space in its name, which haproxy.cfg cannot take`;
  return options.nodes.map(nodeAddressProblem).find((problem) => problem !== null) ?? null;
}
