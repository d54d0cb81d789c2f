/**
 * A cluster of three nodes and a proxy in a folder of its own under the system's temporary folder, for a bench or a chaos run:
 * brought up through the same runtime as any, gone with its program, and kept only when somebody must look at its logs.
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LatencyProfile } from '../local/aws/latency-profile.ts';
import { ClusterHandle } from '../local/runtime/cluster-handle.ts';
import type { SynchronousMode } from './history/check-losses.ts';
import type { HostDriverName } from './read-options.ts';

export interface TemporaryCluster {
  readonly cluster: ClusterHandle;
  readonly folder: string;
  /** Ends everything; `keep` leaves logs and data where they are. */
  close(keep: boolean): Promise<void>;
}

export interface TemporaryClusterOptions {
  readonly mode: SynchronousMode;
  /** How long the primary may be silent, and how often it renews; left out: the cluster file's defaults. */
  readonly lease?: { readonly ttlMs: number; readonly heartbeatMs: number };
  /** More keys of the cluster file. */
  readonly file?: Readonly<Record<string, unknown>>;
  /** How late AWS answers; left out: at once. */
  readonly latency?: LatencyProfile;
  /** Left out: `loopback`. */
  readonly hosts?: HostDriverName;
  readonly signal: AbortSignal;
  readonly onProgress?: (line: string) => void;
}

const upTimeoutMs = 150_000;

export async function openTemporaryCluster(options: TemporaryClusterOptions): Promise<TemporaryCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-chaos-'));
  // Otherwise PostgreSQL's user could not enter it, and data would go elsewhere.
  chmodSync(folder, 0o755);
  const clusterFile = join(folder, 'cluster.json');
  const file = {
    cluster: 'main',
    nodes: [{ id: 'node1' }, { id: 'node2' }, { id: 'node3' }],
    proxies: [{ id: 'proxy1' }],
    ...(options.mode === 'off' ? {} : { synchronous: { mode: options.mode, k: 1 } }),
    ...(options.hosts === 'netns' ? { hosts: 'netns' } : {}),
    ...(options.lease === undefined ? {} : { lease: options.lease }),
    ...options.file,
  };
  writeFileSync(clusterFile, JSON.stringify(file));
  try {
    const cluster = await ClusterHandle.bringUp({
      clusterFile,
      project: folder,
      ...(options.latency === undefined ? {} : { latency: options.latency }),
      timeoutMs: upTimeoutMs,
      signal: options.signal,
      onProgress: options.onProgress ?? (() => undefined),
    });
    return {
      cluster,
      folder,
      async close(keep) {
        await cluster.down(!keep);
        if (!keep) rmSync(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}
