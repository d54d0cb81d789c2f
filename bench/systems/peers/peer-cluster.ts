/**
 * A peer as a system under test: three nodes, what it keeps its state in, and HAProxy in front, each on a `PeerHost` of its own. What all peers
 * have in common is here: how they are struck, watched and ended. What is the peer's own stands behind `PeerDriver`.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { sleepMs } from '../../../adapters/clock.ts';
import { sendSignal } from '../../../adapters/process.ts';
import type { OpenSystem, Paths, Scenario, Strike, SystemUnderTest } from '../system-under-test.ts';
import type { PeerHost } from './peer-host.ts';
import { dsnOf, lookAtNode, type NodeView, takesWrites } from './peer-postgres.ts';

export interface PeerNode {
  readonly id: string;
  readonly host: PeerHost;
  readonly port: number;
  readonly dataDir: string;
}

/** What is the peer's own. */
export interface PeerDriver {
  readonly name: string;
  readonly settings: SystemUnderTest['settings'];
  readonly versions: SystemUnderTest['versions'];
  /** The program that looks after PostgreSQL, by its command line. */
  readonly agentTitle: RegExp;
  /** Null when the peer itself says that all is well; else what it says instead. */
  unsettled(primary: PeerNode): Promise<string | null>;
  /** Asks for a planned change of primary, as its operator does; resolves when the peer says that it is done. */
  switchover(primary: PeerNode, signal: AbortSignal): Promise<void>;
}

export interface PeerParts {
  readonly folder: string;
  readonly nodes: readonly PeerNode[];
  /** etcd, or the monitor. */
  readonly store: PeerHost;
  readonly proxy: PeerHost;
  readonly haproxyPort: number;
  /** Of PgBouncer before HAProxy. */
  readonly pgbouncerPort: number;
}

const scenarios: ReadonlySet<Scenario> = new Set([
  'switchover',
  'host-killed',
  'postgres-killed',
  'agent-killed',
  'postmaster-stopped',
  'store-away',
] as const);
const lookMs = 100;

export class PeerUnderTest implements SystemUnderTest {
  readonly name: string;
  readonly settings: SystemUnderTest['settings'];
  readonly versions: SystemUnderTest['versions'];
  readonly scenarios = scenarios;
  readonly paths: Paths;
  readonly #parts: PeerParts;
  readonly #driver: PeerDriver;
  readonly #mode: OpenSystem['mode'];

  constructor(parts: PeerParts, driver: PeerDriver, { mode }: Pick<OpenSystem, 'mode'>) {
    this.name = driver.name;
    this.settings = { mode, ...driver.settings };
    this.versions = driver.versions;
    this.paths = {
      endpoint: [dsnOf(parts.pgbouncerPort)],
      haproxy: [dsnOf(parts.haproxyPort)],
      'multi-host': parts.nodes.map(({ port }) => dsnOf(port)),
    };
    this.#parts = parts;
    this.#driver = driver;
    this.#mode = mode;
  }

  async untilWhole(timeoutMs: number, signal: AbortSignal): Promise<number> {
    const startedMs = performance.now();
    for (;;) {
      signal.throwIfAborted();
      const missing = await this.#missing();
      if (missing === null) break;
      if (performance.now() - startedMs > timeoutMs) throw new Error(`${this.name} is not whole: ${missing}`);
      await sleepMs(lookMs);
    }
    return performance.now() - startedMs;
  }

  async primary(): Promise<string> {
    return (await this.#primaryNode()).id;
  }

  nodeDsn(node: string): string {
    return dsnOf(nodeOf(this.#parts.nodes, node).port);
  }

  async strike(scenario: Scenario, signal: AbortSignal): Promise<Strike> {
    const primary = await this.#primaryNode();
    // Whom to strike was found out first, which is no part of the blow.
    const atMs = performance.now();
    return { atMs, ...(await this.#strikeNode(primary, scenario, signal)) };
  }

  async #strikeNode(primary: PeerNode, scenario: Scenario, signal: AbortSignal): Promise<Strike> {
    switch (scenario) {
      case 'switchover':
        await this.#driver.switchover(primary, signal);
        await this.#untilAnother(primary, signal);
        return nothingToUndo;
      case 'host-killed':
        return killedUntilUndone(primary.host);
      case 'store-away':
        return killedUntilUndone(this.#parts.store);
      case 'postgres-killed':
        sendSignal(postmasterOf(primary), 'SIGKILL');
        return nothingToUndo;
      case 'agent-killed': {
        const agents = primary.host.processes(this.#driver.agentTitle);
        if (agents.length === 0)
          throw new Error(`no ${String(this.#driver.agentTitle)} runs on ${primary.id}`);
        for (const how of ['SIGSTOP', 'SIGKILL'] as const) for (const pid of agents) sendSignal(pid, how);
        return nothingToUndo;
      }
      case 'postmaster-stopped': {
        const pid = postmasterOf(primary);
        sendSignal(pid, 'SIGSTOP');
        return { undo: async () => void sendSignal(pid, 'SIGCONT') };
      }
      default:
        throw new Error(`${this.name} does not know the scenario ${scenario}`);
    }
  }

  async close(keep: boolean): Promise<void> {
    await closeParts(this.#parts, keep);
  }

  async #primaryNode(): Promise<PeerNode> {
    const views = await this.#look();
    const primaries = views.filter(({ view }) => view?.standby === false);
    const [only] = primaries;
    if (only === undefined || primaries.length > 1) {
      throw new Error(`${this.name} has ${primaries.length} primaries`);
    }
    return only.node;
  }

  #look(): Promise<{ readonly node: PeerNode; readonly view: NodeView | null }[]> {
    return Promise.all(this.#parts.nodes.map(async (node) => ({ node, view: await lookAtNode(node.port) })));
  }

  /** The first thing that a whole cluster has and this one lacks, in words; null when it is whole. */
  async #missing(): Promise<string | null> {
    const views = await this.#look();
    const problem = viewProblem(
      views.map(({ view }) => view),
      this.#mode !== 'off',
    );
    if (problem !== null) return problem;
    const primary = views.find(({ view }) => view?.standby === false);
    if (primary === undefined) return 'no primary';
    const unsettled = await this.#driver.unsettled(primary.node).catch(wordsOf);
    if (unsettled !== null) return unsettled;
    const { haproxyPort, pgbouncerPort } = this.#parts;
    if (!(await takesWrites(haproxyPort))) return 'no way in through HAProxy';
    return (await takesWrites(pgbouncerPort)) ? null : 'no way in through PgBouncer';
  }

  async #untilAnother(former: PeerNode, signal: AbortSignal): Promise<void> {
    const untilMs = performance.now() + takeOverTimeoutMs;
    while (performance.now() < untilMs) {
      signal.throwIfAborted();
      const views = await this.#look();
      if (views.some(({ node, view }) => node !== former && view?.standby === false)) return;
      await sleepMs(lookMs);
    }
    throw new Error(`nobody took over from ${former.id} within ${takeOverTimeoutMs / 1000} s`);
  }
}

const takeOverTimeoutMs = 60_000;
const nothingToUndo: Strike = { undo: async () => undefined };

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What the nodes' own views lack: one primary, two standbys that answer and stream from it, a synchronous one where the mode wants it. */
export function viewProblem(views: readonly (NodeView | null)[], synchronous: boolean): string | null {
  const silent = views.filter((view) => view === null).length;
  if (silent > 0) return `${silent} of ${views.length} nodes do not answer`;
  const primaries = views.filter((view) => view?.standby === false);
  const [primary] = primaries;
  if (primary == null || primaries.length > 1) return `${primaries.length} primaries`;
  const standbys = views.length - 1;
  if (primary.streaming !== standbys) return `${primary.streaming} of ${standbys} standbys stream`;
  return synchronous && primary.synchronous === 0 ? 'no synchronous standby' : null;
}

async function killedUntilUndone(host: PeerHost): Promise<Strike> {
  await host.killEverything();
  return { undo: async () => host.bootAgain() };
}

/** The first line of postmaster.pid. Throws when there is none. */
function postmasterOf({ id, dataDir }: PeerNode): number {
  const pid = Number(readFileSync(join(dataDir, 'postmaster.pid'), 'utf8').split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 1) throw new Error(`no postmaster on ${id}`);
  return pid;
}

export function nodeOf(nodes: readonly PeerNode[], id: string): PeerNode {
  const node = nodes.find((one) => one.id === id);
  if (node === undefined) throw new Error(`there is no node ${id}`);
  return node;
}

/** Ends everything at once, whatever state it is in. */
export async function closeParts({ folder, nodes, store, proxy }: PeerParts, keep: boolean): Promise<void> {
  await Promise.all([...nodes.map(({ host }) => host), store, proxy].map((host) => host.killEverything()));
  if (!keep) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}
