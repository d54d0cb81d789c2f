/**
 * Forgets what a host said of itself, so that another machine can take its name. Watched first for longer than a living agent is silent,
 * and removed only as it was read last: an agent that speaks in between keeps its name. Run again after it died anywhere, it does what
 * is left to do: a fence's note of a machine that nobody reports from any more says that a removal was not finished.
 */
import { decideForget, type ForgetView, fencedNote } from '../../core/failover/decide-forget.ts';
import { type FencedHost, forgetFencedHost } from '../../core/model/fencing.ts';
import type { NodeId } from '../../core/model/lease.ts';
import type { NodeReport, ProxyReport } from '../../core/model/node-report.ts';
import { reportPaceMs } from '../../core/model/report-pace.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import type { WorkflowDeps } from './ports.ts';
import { emit } from './progress.ts';
import { need, needOrRefused } from './workflow-error.ts';

export interface ForgetDeps extends Pick<WorkflowDeps, 'now' | 'sleep' | 'time' | 'newId' | 'log' | 'who'> {
  readonly hosts: Pick<WorkflowDeps['hosts'], 'instanceState'>;
  /** The one in which `hosts` asks EC2. */
  readonly region: string;
  readonly say: (line: string) => void;
}

export interface ForgetRequest {
  readonly host: NodeId;
  readonly althoughSynchronous: boolean;
  readonly althoughUnknown: boolean;
}

export type Forgotten =
  | { readonly kind: 'done'; readonly instanceId: string }
  | { readonly kind: 'refused'; readonly rule: string; readonly reason: string };

type Report = NodeReport | ProxyReport;

/** A living host has reported twice by then. */
const watchMs = 2 * reportPaceMs.quiet + 5_000;
const lookEveryMs = 1_000;
const noteAttempts = 10;

/** Throws a WorkflowError when DynamoDB does not answer. */
export async function forgetHost(
  deps: ForgetDeps,
  store: ClusterStore,
  request: ForgetRequest,
): Promise<Forgotten> {
  const first = await look(deps, store, request);
  const early = decideForget({ ...first.view, heard: false });
  if (early.kind === 'refused') return early;
  if (first.report !== null) await watch(deps, store, request.host, first.report);
  const last = await look(deps, store, request);
  const decision = decideForget({ ...last.view, heard: !isSame(last.report, first.report) });
  if (decision.kind === 'refused') return decision;
  if (last.report !== null && needOrRefused(await store.removeReport(last.report)) === null)
    return { kind: 'refused', rule: 'still-heard', reason: 'it has said something new just now' };
  const { instanceId, rule } = decision;
  await emit(deps, store, {
    kind: 'host_forgotten',
    message: `${request.host} on ${instanceId}, which is ${last.view.instance}: another machine may take its name`,
    rule,
    epoch: last.view.lease?.epoch ?? null,
  });
  // Last: as long as it is there, another run ends what this one began.
  await removeNote(deps, store, request.host, instanceId);
  return { kind: 'done', instanceId };
}

/** Until it reports, or for longer than a living host is silent. */
async function watch(deps: ForgetDeps, store: ClusterStore, host: NodeId, first: Report): Promise<void> {
  deps.say(`watching ${host} for ${watchMs / 1000} s`);
  const untilMs = deps.now() + watchMs;
  let report: Report | null = first;
  while (isSame(report, first) && deps.now() < untilMs) {
    await deps.sleep(lookEveryMs);
    report = await readReport(store, host);
  }
}

async function look(
  deps: ForgetDeps,
  store: ClusterStore,
  request: ForgetRequest,
): Promise<{ view: Omit<ForgetView, 'heard'>; report: Report | null }> {
  const report = await readReport(store, request.host);
  const machine = report ?? (await readNote(store, request.host));
  const state = machine === null ? null : await deps.hosts.instanceState(machine.instanceId);
  const instance = state?.kind === 'ok' ? state.value : null;
  // After the report: what it is decided by must not be older.
  const { record, lease } = need(await store.readHead());
  return { view: { ...request, region: deps.region, record, lease, machine, instance }, report };
}

async function readNote(store: ClusterStore, host: NodeId): Promise<FencedHost | null> {
  const { record } = need(await store.readHead());
  return record?.fencedHosts.find(({ node }) => node === host) ?? null;
}

async function readReport(store: ClusterStore, host: NodeId): Promise<Report | null> {
  const [nodes, proxies] = [need(await store.readNodes()), need(await store.readProxies())];
  return nodes.find(({ node }) => node === host) ?? proxies.find(({ proxy }) => proxy === host) ?? null;
}

function isSame(one: Report | null, other: Report | null): boolean {
  return (
    one?.instanceId === other?.instanceId &&
    one?.incarnation === other?.incarnation &&
    one?.seq === other?.seq
  );
}

/** A note that stays is of a machine that is gone: the next failover's takes its place. */
async function removeNote(
  deps: ForgetDeps,
  store: ClusterStore,
  host: NodeId,
  instanceId: string,
): Promise<void> {
  for (let attempt = 0; attempt < noteAttempts; attempt += 1) {
    const { record } = need(await store.readHead());
    if (record === null || fencedNote(record, host, instanceId) === null) return;
    const fencedHosts = forgetFencedHost(record.fencedHosts, host);
    const written = await store.updateRecord({ expect: { version: record.version }, set: { fencedHosts } });
    if (needOrRefused(written) !== null) return;
  }
  deps.log('warn', 'the note of a fenced host could not be removed', { node: host });
}
