/**
 * A whole cluster for one test file: its own project in a temporary folder, its own ports, brought up through the runtime process
 * and taken down with everything in it, also when the test fails or its process is killed (the runtime is tied to it).
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleepMs } from '../../../adapters/clock.ts';
import { type BringUp, ClusterHandle } from '../../../local/runtime/cluster-handle.ts';

export interface ClusterSandbox {
  readonly cluster: ClusterHandle;
  /** The folder in whose `.leasehold/` the cluster is: for `leasehold --folder`. */
  readonly project: string;
  readonly clusterFile: string;
  /** Ends and removes everything. */
  close(): Promise<void>;
}

const upTimeoutMs = 110_000;

/** A cluster file with three nodes and a proxy; `change` replaces top-level keys. */
export function threeNodes(change: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    cluster: 'main',
    nodes: [{ id: 'node1' }, { id: 'node2' }, { id: 'node3' }],
    proxies: [{ id: 'proxy1' }],
    ...change,
  };
}

/** Brings a cluster up and waits until it is whole. */
export async function openClusterSandbox(
  file: Record<string, unknown> = threeNodes(),
  options: Pick<BringUp, 'controlPlane'> = {},
): Promise<ClusterSandbox> {
  const project = mkdtempSync(join(tmpdir(), 'leasehold-sandbox-'));
  // Otherwise PostgreSQL's user could not enter it, and data would go elsewhere and away with the first `down`.
  chmodSync(project, 0o755);
  const clusterFile = join(project, 'cluster.json');
  writeFileSync(clusterFile, JSON.stringify(file));
  try {
    const cluster = await ClusterHandle.bringUp({ ...options, clusterFile, project, timeoutMs: upTimeoutMs });
    return {
      cluster,
      project,
      clusterFile,
      async close() {
        // For a look at the logs of what went wrong: LEASEHOLD_KEEP_SANDBOX=1.
        const keep = process.env['LEASEHOLD_KEEP_SANDBOX'] !== undefined;
        await cluster.down(!keep);
        if (!keep) rmSync(project, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(project, { recursive: true, force: true });
    throw error;
  }
}

/** Waits until `look` gives something other than null or false. Throws with `what` when the time is up. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | null | false> | T | null | false,
  timeoutMs = 20_000,
): Promise<T> {
  const untilMs = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== null && seen !== false) return seen;
    if (performance.now() > untilMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleepMs(50);
  }
}
