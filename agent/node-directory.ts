/**
 * Where the other hosts of the cluster are, as their reports say: read from DynamoDB when asked, and kept as the peers of
 * the wake-up datagram.
 */
import type { ClusterStore, ReadOptions } from '../adapters/aws/cluster-store.ts';
import { type Answer, ok } from '../adapters/aws/store-answer.ts';
import type { WakeUp } from '../adapters/wake-up.ts';
import type { NodeId } from '../core/model/lease.ts';
import type { NodeReport, ProxyReport } from '../core/model/node-report.ts';

const readTimeoutMs = 1_000;
/** How often the others' reports are to be read, and how often once nobody has said anything new for a while. */
export const readNodesEveryMs = { busy: 3_000, quiet: 15_000 } as const;
const quietAfterMs = 30_000;
const noProxiesForMs = 60_000;

export interface NodeDirectoryDeps {
  readonly store: Pick<ClusterStore, 'readNodes' | 'readProxies'>;
  readonly wakeUp: Pick<WakeUp, 'setPeers'>;
  readonly self: NodeId;
  /** Milliseconds of the clock that counts suspension. */
  readonly now: () => number;
}

export class NodeDirectory {
  readonly #deps: NodeDirectoryDeps;
  #nodes: readonly NodeReport[] = [];
  #read = false;
  /** What the last read found, positions left out, and when that was new. */
  #said = '';
  #changedMs: number;
  /** When a read found that there is no proxy; null: there is one, or nobody knows. */
  #noProxiesMs: number | null = null;

  constructor(deps: NodeDirectoryDeps) {
    this.#deps = deps;
    this.#changedMs = deps.now();
  }

  /** As last read; this node's own report is among them once it was written. */
  nodes(): readonly NodeReport[] {
    return this.#nodes;
  }

  hasRead(): boolean {
    return this.#read;
  }

  /** How long after one read the next one is due, unless something is missing. `underWay`: an operation, whose changes must be seen. */
  everyMs(underWay: boolean): number {
    return !underWay && this.#isQuiet() ? readNodesEveryMs.quiet : readNodesEveryMs.busy;
  }

  #isQuiet(): boolean {
    return this.#deps.now() - this.#changedMs >= quietAfterMs;
  }

  /**
   * What cannot be read stays as it was. While nothing changes, and no operation is under way, reads that cost half as much, and may be
   * a moment old, will do.
   */
  async read(underWay: boolean): Promise<void> {
    const { store, wakeUp, self } = this.#deps;
    const options = { timeoutMs: readTimeoutMs, eventually: !underWay && this.#isQuiet() };
    const [nodes, proxies] = await Promise.all([store.readNodes(options), this.#readProxies(options)]);
    if (nodes.kind === 'ok') {
      this.#nodes = nodes.value;
      this.#read = true;
    }
    this.#notice(nodes.kind === 'ok' && proxies.kind === 'ok' ? factsOf(nodes.value, proxies.value) : null);
    const others = this.#nodes.filter(({ node }) => node !== self).map(({ addresses }) => addresses);
    const otherProxies =
      proxies.kind === 'ok'
        ? proxies.value.filter(({ proxy }) => proxy !== self).map(({ addresses }) => addresses)
        : [];
    wakeUp.setPeers([...others, ...otherProxies].map(({ host, wakePort }) => ({ host, port: wakePort })));
  }

  /** Where there are none, they are looked for once a minute. */
  async #readProxies(options: ReadOptions): Promise<Answer<readonly ProxyReport[]>> {
    const nowMs = this.#deps.now();
    if (options.eventually && this.#noProxiesMs !== null && nowMs - this.#noProxiesMs < noProxiesForMs)
      return ok([]);
    const answer = await this.#deps.store.readProxies(options);
    this.#noProxiesMs = answer.kind === 'ok' && answer.value.length === 0 ? nowMs : null;
    return answer;
  }

  /** Null: it could not be read, so that nobody knows whether it is as it was. */
  #notice(said: string | null): void {
    if (said !== null && said === this.#said) return;
    if (said !== null) this.#said = said;
    this.#changedMs = this.#deps.now();
  }
}

/** All that reports say but for positions, which move while nothing happens. */
function factsOf(nodes: readonly NodeReport[], proxies: readonly ProxyReport[]): string {
  const still = nodes.map((report) => ({ ...report, seq: 0, lsn: null, replayLsn: null, lagBytes: null }));
  const text = (_key: string, value: unknown) => (typeof value === 'bigint' ? value.toString() : value);
  return JSON.stringify([still, proxies.map((report) => ({ ...report, seq: 0 }))], text);
}
