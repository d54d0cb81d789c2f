/**
 * Where the other hosts of the cluster are, as their reports say: read from DynamoDB when asked, and kept as the peers of
 * the wake-up datagram.
 */
import type { ClusterStore } from '../adapters/aws/cluster-store.ts';
import type { WakeUp } from '../adapters/wake-up.ts';
import type { NodeId } from '../core/model/lease.ts';
import type { NodeReport } from '../core/model/node-report.ts';

const readTimeoutMs = 1_000;

export class NodeDirectory {
  readonly #deps: { readonly store: ClusterStore; readonly wakeUp: WakeUp; readonly self: NodeId };
  #nodes: readonly NodeReport[] = [];
  #read = false;

  constructor(deps: { store: ClusterStore; wakeUp: WakeUp; self: NodeId }) {
    this.#deps = deps;
  }

  /** As last read; this node's own report is among them once it was written. */
  nodes(): readonly NodeReport[] {
    return this.#nodes;
  }

  hasRead(): boolean {
    return this.#read;
  }

  /** What cannot be read stays as it was. */
  async read(): Promise<void> {
    const { store, wakeUp, self } = this.#deps;
    const [nodes, proxies] = await Promise.all([
      store.readNodes({ timeoutMs: readTimeoutMs }),
      store.readProxies({ timeoutMs: readTimeoutMs }),
    ]);
    if (nodes.kind === 'ok') {
      this.#nodes = nodes.value;
      this.#read = true;
    }
    const others = this.#nodes.filter(({ node }) => node !== self).map(({ addresses }) => addresses);
    const otherProxies =
      proxies.kind === 'ok'
        ? proxies.value.filter(({ proxy }) => proxy !== self).map(({ addresses }) => addresses)
        : [];
    wakeUp.setPeers([...others, ...otherProxies].map(({ host, wakePort }) => ({ host, port: wakePort })));
  }
}
