/**
 * Brings a release of the agent onto every host, one after the other, as `core/upgrade/decide-upgrade.ts` says, and back from every host
 * when the release may be why one fails. It may die at any point: a host that is being upgraded ends that by itself, and the next run goes on from
 * what the cluster then says. Each step begins with new reports of all hosts.
 *
 * | step        | left for                                                                                      |
 * |-------------|-----------------------------------------------------------------------------------------------|
 * | looking     | upgrading, switching or done, as decided; refused when it never was (nothing was changed); failed when the release may be why not; else stopped |
 * | upgrading   | looking, when the host's command succeeded and it reports the wanted release; else failed       |
 * | switching   | looking, when the switchover succeeded, or was not this run's to make; else failed             |
 * | failed      | the end, when every host that has the wanted release went back to the former one, or one could not |
 * | stopped     | the end: hosts stay as they are, for another run to go on from                                 |
 */
import { allHaveReported, type Reports } from '../../core/health/unwell-hosts.ts';
import type { NodeId } from '../../core/model/lease.ts';
import type { AgentRelease } from '../../core/model/node-report.ts';
import { reportPaceMs } from '../../core/model/report-pace.ts';
import {
  decideUpgrade,
  hostsOf,
  hostsToRollBack,
  mayBeTheRelease,
  notUpgraded,
  otherReleases,
  type UpgradeDecision,
  type UpgradeHost,
  type UpgradeView,
} from '../../core/upgrade/decide-upgrade.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import type { WorkflowDeps } from '../workflow/ports.ts';
import { emit } from '../workflow/progress.ts';
import { need } from '../workflow/workflow-error.ts';

export interface Artifact {
  /** In the bucket that the hosts were installed from. */
  readonly key: string;
  readonly sha256: string;
}

/** Null: it worked; else why it did not. */
export type Outcome = string | null;

/** `look-again`: nothing was changed by it, or it is not known yet: another's operation is under way, or has made another one the primary. */
export type Switched =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed' | 'look-again'; readonly reason: string };

export interface UpgradeDeps extends Pick<WorkflowDeps, 'now' | 'sleep' | 'time' | 'newId' | 'log' | 'who'> {
  /** Waits for the end of the host's own upgrade, which goes back by itself when it does not work. */
  readonly upgradeHost: (host: UpgradeHost, artifact: Artifact) => Promise<Outcome>;
  /** Only as long as the lease's epoch is this one. */
  readonly switchOver: (from: NodeId, epoch: number) => Promise<Switched>;
  /** What is being done now, for a terminal. */
  readonly say: (line: string) => void;
}

export interface UpgradeRequest {
  readonly artifact: Artifact;
  readonly mixed: boolean;
}

export type UpgradeRun =
  | { readonly kind: 'done'; readonly hosts: number }
  | { readonly kind: 'refused'; readonly rule: string; readonly reason: string }
  /** Nobody was brought back. */
  | { readonly kind: 'stopped'; readonly reason: string }
  | {
      readonly kind: 'failed';
      readonly reason: string;
      /** What hosts were brought back to; null: they had several releases before. */
      readonly former: AgentRelease | null;
      readonly rolledBack: readonly RolledBack[];
    };

export interface RolledBack {
  readonly node: NodeId;
  readonly outcome: Outcome;
}

const lookEveryMs = 500;
/** Within this long each host has reported, or is silent. */
const firstLookLimitMs = reportPaceMs.quiet + 10_000;
/** After a host's restart or a switchover, until all is well again. */
const settleLimitMs = 120_000;
/** Each host is touched once, and once more when it was the primary's turn before; a bug must not go round for ever. */
const stepsPerHost = 3;

/** Throws a WorkflowError when DynamoDB does not answer at the beginning; later it stops where it is. */
export async function runUpgrade(
  deps: UpgradeDeps,
  store: ClusterStore,
  request: UpgradeRequest,
): Promise<UpgradeRun> {
  const { sha256 } = request.artifact;
  deps.say('waiting for a new report of every host');
  let { decision, view } = await settle(deps, store, request, firstLookLimitMs);
  if (decision.kind === 'refused') return decision;
  const hosts = view.record === null ? [] : hostsOf(view.record, view.reports);
  const former = request.mixed ? null : (otherReleases(hosts, sha256)[0] ?? null);
  let tried: Switched = { kind: 'done' };
  for (let step = 0; step < hosts.length * stepsPerHost; step += 1) {
    if (decision.kind === 'done') return { kind: 'done', hosts: hosts.length };
    tried = await perform(deps, store, request, decision);
    if (tried.kind === 'failed') return await giveUp(deps, store, request, former, tried.reason);
    if (tried.kind === 'look-again') deps.say(`${tried.reason}; looking again`);
    try {
      ({ decision, view } = await settle(
        deps,
        store,
        request,
        settleLimitMs,
        expectedAfter(decision, sha256),
      ));
    } catch (error) {
      return await stop(deps, store, error instanceof Error ? error.message : String(error));
    }
    if (decision.kind === 'refused') {
      const reason = `${decision.reason} (${decision.rule})`;
      if (!mayBeTheRelease(decision.rule)) return await stop(deps, store, reason);
      return await giveUp(deps, store, request, former, reason);
    }
  }
  if (tried.kind === 'look-again') return await stop(deps, store, tried.reason);
  return await giveUp(deps, store, request, former, 'it does not come to an end');
}

async function stop(deps: UpgradeDeps, store: ClusterStore, reason: string): Promise<UpgradeRun> {
  await emit(deps, store, { kind: 'upgrade_failed', message: `stopped, and nobody brought back: ${reason}` });
  return { kind: 'stopped', reason };
}

/** What the reports must say before the next step is decided: a host's own word that it has the release. */
function expectedAfter(step: UpgradeDecision, wanted: string): (view: UpgradeView) => string | null {
  if (step.kind !== 'upgrade') return () => null;
  const { id } = step.host;
  return ({ record, reports }) => {
    const host = record === null ? undefined : hostsOf(record, reports).find((one) => one.id === id);
    if (host?.release?.sha256 === wanted) return null;
    return `${id} reports ${host?.release?.version ?? 'no release'} after its upgrade`;
  };
}

async function perform(
  deps: UpgradeDeps,
  store: ClusterStore,
  { artifact }: UpgradeRequest,
  decision: UpgradeDecision,
): Promise<Switched> {
  switch (decision.kind) {
    case 'done':
    case 'refused':
      return { kind: 'done' };
    case 'switchover': {
      const { from, epoch } = decision;
      deps.say(`switching over from ${from}, whose turn it is`);
      const switched = await deps.switchOver(from, epoch);
      if (switched.kind === 'done') return switched;
      return { kind: switched.kind, reason: `the switchover from ${from} failed: ${switched.reason}` };
    }
    case 'upgrade': {
      const { id, release } = decision.host;
      deps.say(`upgrading ${id} (${decision.rule}) from ${release?.version ?? 'an unknown release'}`);
      const outcome = await deps.upgradeHost(decision.host, artifact);
      if (outcome !== null) return { kind: 'failed', reason: `the upgrade of ${id} failed: ${outcome}` };
      await emit(deps, store, {
        kind: 'host_upgraded',
        rule: decision.rule,
        message: `${id}: ${artifact.key}`,
      });
      return { kind: 'done' };
    }
  }
}

/** Looks until nothing that passes is in the way, the silence of a host among it; at the end of the time as it is then. */
async function settle(
  deps: UpgradeDeps,
  store: ClusterStore,
  { artifact, mixed }: UpgradeRequest,
  limitMs: number,
  lacks: (view: UpgradeView) => string | null = () => null,
): Promise<{ decision: UpgradeDecision; view: UpgradeView }> {
  const untilMs = deps.now() + limitMs;
  const earlier = await readReports(store);
  for (;;) {
    const [head, reports] = [need(await store.readHead()), await readReports(store)];
    const view = { ...head, reports, earlier, wanted: artifact.sha256, mixed };
    const lacking = lacks(view);
    const decision: UpgradeDecision =
      lacking === null
        ? decideUpgrade(view)
        : { kind: 'refused', rule: notUpgraded, reason: lacking, passing: true };
    const mayPass = decision.kind === 'refused' && decision.passing;
    if (!mayPass || deps.now() >= untilMs) return { decision, view };
    await deps.sleep(lookEveryMs);
  }
}

async function readReports(store: ClusterStore): Promise<Reports> {
  const [nodes, proxies] = await Promise.all([store.readNodes(), store.readProxies()]);
  return { nodes: need(nodes), proxies: need(proxies) };
}

/**
 * Every host that has the wanted release goes back to the former one, which its host has kept, up to the first that cannot: it is not well
 * then, and no other is touched meanwhile. Each is told of.
 */
async function giveUp(
  deps: UpgradeDeps,
  store: ClusterStore,
  { artifact }: UpgradeRequest,
  former: AgentRelease | null,
  reason: string,
): Promise<UpgradeRun> {
  deps.say(reason);
  await emit(deps, store, { kind: 'upgrade_failed', message: reason });
  if (former === null) return { kind: 'failed', reason, former, rolledBack: [] };
  const rolledBack: RolledBack[] = [];
  let stuck: NodeId | null = null;
  for (const host of await upgradedHosts(deps, store, artifact.sha256)) {
    if (stuck !== null) {
      rolledBack.push({ node: host.id, outcome: `it was not asked to, because ${stuck} could not` });
      continue;
    }
    deps.say(`${host.id} goes back to ${former.version}`);
    const outcome = await deps.upgradeHost(host, { key: artifact.key, sha256: former.sha256 });
    if (outcome === null)
      await emit(deps, store, { kind: 'host_rolled_back', message: `${host.id}: ${former.version}` });
    else stuck = host.id;
    rolledBack.push({ node: host.id, outcome });
  }
  return { kind: 'failed', reason, former, rolledBack };
}

/** By new reports where they come in time: what a host has said before its agent restarted is of the other release. */
async function upgradedHosts(
  deps: UpgradeDeps,
  store: ClusterStore,
  wanted: string,
): Promise<readonly UpgradeHost[]> {
  const untilMs = deps.now() + firstLookLimitMs;
  try {
    const earlier = await readReports(store);
    for (;;) {
      const [{ record, lease }, reports] = [need(await store.readHead()), await readReports(store)];
      if (record === null) return [];
      if (allHaveReported(record, earlier, reports) || deps.now() >= untilMs)
        return hostsToRollBack(record, lease, reports, wanted);
      await deps.sleep(lookEveryMs);
    }
  } catch (error) {
    deps.say(`which hosts have the new release could not be read: ${String(error)}`);
    return [];
  }
}
