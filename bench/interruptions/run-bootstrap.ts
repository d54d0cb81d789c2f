/**
 * An interruption of the bootstrap: a new cluster comes up, one program is killed at one step on the node that takes it first, and
 * in the end there is one whole cluster of one system.
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleepMs } from '../../adapters/clock.ts';
import { clusterFolder, readRuntimeFile } from '../../cli/cluster/cluster-folder.ts';
import { findPart, type HostPart, hostFolder, signalAll } from '../../local/faults/host-parts.ts';
import { ClusterHandle } from '../../local/runtime/cluster-handle.ts';
import { readClusterState } from '../../local/runtime/cluster-state.ts';
import { reached } from './moments.ts';
import { type CaseReport, leftBehind } from './run-case.ts';
import type { InterruptionCase } from './scene.ts';

const nodes = ['node1', 'node2', 'node3'];
const stepLimitMs = 60_000;
const upTimeoutMs = 150_000;

export async function runBootstrap(
  { operation, step, victim }: InterruptionCase,
  signal: AbortSignal,
): Promise<CaseReport> {
  const project = mkdtempSync(join(tmpdir(), 'leasehold-bootstrap-'));
  // Otherwise PostgreSQL's user could not enter it, and data would go elsewhere.
  chmodSync(project, 0o755);
  const clusterFile = join(project, 'cluster.json');
  const proxies = [{ id: 'proxy1' }];
  writeFileSync(
    clusterFile,
    JSON.stringify({ cluster: 'main', nodes: nodes.map((id) => ({ id })), proxies }),
  );
  const scene = { folder: clusterFolder(project, 'main') };
  const up = () => ClusterHandle.bringUp({ clusterFile, project, timeoutMs: upTimeoutMs, signal });
  const first = up().catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))));
  let cluster: ClusterHandle | null = null;
  const violations: string[] = [];
  try {
    const host = await seenOn(scene, step);
    let struck: CaseReport['struck'] = 'not-seen';
    if (host !== null) struck = kill(scene, host, victim) ? 'yes' : 'nobody';
    const struckMs = performance.now();
    const came = await first;
    if (came instanceof Error && victim !== 'runtime') throw came;
    cluster = came instanceof Error ? await up() : came;
    const wholeAfterMs = Math.round(performance.now() - struckMs);
    const head = await cluster.store().readHead();
    if (head.kind !== 'ok' || head.value.lease === null) throw new Error('the cluster has no lease');
    if (head.value.record?.epochs.at(0)?.epoch !== 1) violations.push('the first epoch is not recorded');
    violations.push(...leftBehind(nodes.map((node) => hostFolder(scene, node))));
    const events = await cluster.store().listEvents(200);
    const outcome = (events.kind === 'ok' ? events.value : [])
      .filter(({ kind }) => /action_|bootstrap_taken_over/.test(kind))
      .map(({ who, kind, rule }) => `${who} ${kind} ${rule}`);
    return { operation, step: step.name, victim, struck, wholeAfterMs, outcome, judgement: null, violations };
  } finally {
    await first;
    await cluster?.down(true);
    rmSync(project, { recursive: true, force: true });
  }
}

type Scene = Pick<ClusterHandle, 'folder'>;

/** The node on which the step is seen first; null when it is seen on none in time. */
async function seenOn(scene: Scene, step: InterruptionCase['step']): Promise<string | null> {
  const untilMs = performance.now() + stepLimitMs;
  while (readClusterState(scene.folder) === null) {
    if (performance.now() > untilMs) return null;
    await sleepMs(5);
  }
  const watches = nodes.map((node) => {
    const folder = hostFolder(scene, node);
    return { node, isThere: step.moment({ folder, logFile: join(folder, 'agent.log') }) };
  });
  let found: string | null = null;
  await reached(() => {
    found = watches.find(({ isThere }) => isThere())?.node ?? null;
    return found !== null;
  }, stepLimitMs);
  return found;
}

function kill(scene: Scene, host: string, victim: InterruptionCase['victim']): boolean {
  if (victim === 'runtime') {
    const pid = readRuntimeFile(scene.folder)?.pid;
    return pid !== undefined && process.kill(pid, 'SIGKILL');
  }
  const part = (victim.split(' ')[1] ?? 'agent') as HostPart;
  return signalAll(findPart(scene, host, part), 'SIGKILL') > 0;
}
