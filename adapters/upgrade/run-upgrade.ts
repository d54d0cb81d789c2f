/**
 * Brings a release of the agent onto every host, one after the other, as `core/upgrade/decide-upgrade.ts` says, and back from every host
 * when one fails. It may die at any point: a host that is being upgraded ends that by itself, and the next run goes on from
 * what the cluster then says. Each step begins with new reports of all hosts.
 *
 * | step        | left for                                                                                      |
 * |-------------|-----------------------------------------------------------------------------------------------|
 * | looking     | upgrading, switching or done, as decided; refused when it never was (nothing was changed); else failed |
 * | upgrading   | looking, when the host's command succeeded and it reports the wanted release; else failed       |
 * | switching   | looking, when the switchover succeeded; else failed                                            |
 * | failed      | the end, when every host that has the wanted release was asked to go back to the former one     |
 */
import { allHaveReported, type Reports } from '../../core/health/unwell-hosts.ts';
import type { NodeId } from '../../core/model/lease.ts';
import type { AgentRelease } from '../../core/model/node-report.ts';
import { reportPaceMs } from '../../core/model/report-pace.ts';
import {
  decideUpgrade,
  hostsOf,
  hostsToRollBack,
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

export interface UpgradeDeps extends Pick<WorkflowDeps, 'now' | 'sleep' | 'time' | 'newId' | 'log' | 'who'> {
  /** Waits for the end of the host's own upgrade, which goes back by itself when it does not work. */
  readonly upgradeHost: (host: UpgradeHost, artifact: Artifact) => Promise<Outcome>;
  readonly switchOver: (from: NodeId) => Promise<Outcome>;
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

/** Throws a WorkflowError when DynamoDB does not answer at the beginning; later that is a failure like any other. */
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
  for (let step = 0; step < hosts.length * stepsPerHost; step += 1) {
    if (decision.kind === 'done') return { kind: 'done', hosts: hosts.length };
    const failure = await perform(deps, store, request, decision);
    if (failure !== null) return await giveUp(deps, store, request, former, failure);
    try {
      ({ decision, view } = await settle(
        deps,
        store,
        request,
        settleLimitMs,
        expectedAfter(decision, sha256),
      ));
    } catch (error) {
      return await giveUp(
        deps,
        store,
        request,
        former,
        error instanceof Error ? error.message : String(error),
      );
    }
    if (decision.kind === 'refused')
      return await giveUp(deps, store, request, former, `${decision.reason} (${decision.rule})`);
  }
  return await giveUp(deps, store, request, former, 'it does not come to an end');
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
): Promise<Outcome> {
  switch (decision.kind) {
    case 'done':
    case 'refused':
      return null;
    case 'switchover':
      deps.say(`switching over from ${decision.from}, whose turn it is`);
      return described(await deps.switchOver(decision.from), `the switchover from ${decision.from}`);
    case 'upgrade': {
      const { id, release } = decision.host;
      deps.say(`upgrading ${id} (${decision.rule}) from ${release?.version ?? 'an unknown release'}`);
      const outcome = await deps.upgradeHost(decision.host, artifact);
      if (outcome === null)
        await emit(deps, store, {
          kind: 'host_upgraded',
          rule: decision.rule,
          message: `${id}: ${artifact.key}`,
        });
      return described(outcome, `the upgrade of ${id}`);
    }
  }
}

function described(outcome: Outcome, what: string): Outcome {
  return outcome === null ? null : `${what} failed: ${outcome}`;
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
        : { kind: 'refused', rule: 'not-upgraded', reason: lacking, passing: true };
    const mayPass = decision.kind === 'refused' && decision.passing;
    if (!mayPass || deps.now() >= untilMs) return { decision, view };
    await deps.sleep(lookEveryMs);
  }
}

async function readReports(store: ClusterStore): Promise<Reports> {
  const [nodes, proxies] = await Promise.all([store.readNodes(), store.readProxies()]);
  return { nodes: need(nodes), proxies: need(proxies) };
}

/** Every host that has the wanted release goes back to the former one, which its host has kept; one that cannot is told of. */
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
  for (const host of await upgradedHosts(deps, store, artifact.sha256)) {
    deps.say(`${host.id} goes back to ${former.version}`);
    const outcome = await deps.upgradeHost(host, { key: artifact.key, sha256: former.sha256 });
    if (outcome === null)
      await emit(deps, store, { kind: 'host_rolled_back', message: `${host.id}: ${former.version}` });
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
