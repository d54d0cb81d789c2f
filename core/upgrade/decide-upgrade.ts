/**
 * The next step of bringing a release of the agent onto every host of a cluster: an ordered table, first match wins, over what the
 * cluster says of itself now. Nothing is remembered between two steps, so an upgrade that died anywhere goes on where the cluster is.
 * Upholds that at most one host is touched at a time, only while all others are well, and the primary's last, when a
 * standby of the wanted release has taken its place.
 *
 * | state of the cluster                       | step                                          |
 * |--------------------------------------------|-----------------------------------------------|
 * | something is in the way, or not yet well   | refused; `passing` says whether waiting helps |
 * | every host has the wanted release          | done                                          |
 * | a standby has not                          | upgrade it                                    |
 * | standbys have, a proxy has not             | upgrade it                                    |
 * | the primary alone has not, standbys exist  | switchover: it is a standby then              |
 * | the primary has not, and is alone          | upgrade it in place                           |
 */
import { type Reports, whatIsUnwell } from '../health/unwell-hosts.ts';
import type { ClusterRecord } from '../model/cluster-record.ts';
import type { Lease, NodeId } from '../model/lease.ts';
import type { AgentRelease, NodeReport, ProxyReport } from '../model/node-report.ts';

export interface UpgradeView {
  readonly record: ClusterRecord | null;
  readonly lease: Lease | null;
  readonly reports: Reports;
  /** Of some seconds before, by which silence is seen. */
  readonly earlier: Reports;
  /** The SHA-256 of the artifact that every host shall have. */
  readonly wanted: string;
  /** Hosts may have several other releases: they cannot all be brought back to one then. */
  readonly mixed: boolean;
}

export interface UpgradeHost {
  readonly id: NodeId;
  readonly instanceId: string;
  /** Null: it does not say. */
  readonly release: AgentRelease | null;
}

export type UpgradeDecision =
  | { readonly kind: 'refused'; readonly rule: string; readonly reason: string; readonly passing: boolean }
  | { readonly kind: 'upgrade'; readonly rule: string; readonly host: UpgradeHost }
  /** Asked for in that epoch: after it the primary is another one's doing, and whose turn it is must be looked at again. */
  | { readonly kind: 'switchover'; readonly rule: string; readonly from: NodeId; readonly epoch: number }
  | { readonly kind: 'done'; readonly rule: string };

interface Known extends UpgradeView {
  readonly record: ClusterRecord;
  readonly lease: Lease;
  /** Members in the order of the record, then proxies. */
  readonly hosts: readonly UpgradeHost[];
}

type Unnamed = UpgradeDecision extends infer D
  ? D extends UpgradeDecision
    ? Omit<D, 'rule'>
    : never
  : never;

const refusedIf = (is: boolean, reason: string, passing: boolean): Unnamed | null =>
  is ? { kind: 'refused', reason, passing } : null;

const upgradeFirst = (hosts: readonly UpgradeHost[], wanted: string): Unnamed | null => {
  const host = hosts.find((one) => one.release?.sha256 !== wanted);
  return host === undefined ? null : { kind: 'upgrade', host };
};

const rows: readonly { readonly rule: string; readonly decide: (view: Known) => Unnamed | null }[] = [
  { rule: 'paused', decide: ({ record }) => refusedIf(record.paused, 'the cluster is paused', false) },
  {
    rule: 'release-unknown',
    decide: ({ hosts }) => {
      const silent = hosts.filter(({ release }) => release === null).map(({ id }) => id);
      return refusedIf(
        silent.length > 0,
        `${silent.join(', ')} did not say which release it has, so it could not be brought back to it: upgrade it by the document alone`,
        false,
      );
    },
  },
  {
    rule: 'releases-mixed',
    decide: ({ hosts, wanted, mixed }) => {
      const others = otherReleases(hosts, wanted);
      return refusedIf(
        others.length > 1 && !mixed,
        `hosts have ${others.map(({ version }) => version).join(' and ')}, so they could not all be brought back to one: bring them to one of these first, or say --mixed`,
        false,
      );
    },
  },
  {
    rule: 'operation-under-way',
    decide: ({ record }) =>
      refusedIf(
        record.operation !== null || record.failoverState !== 'stable',
        `${record.operation?.kind ?? 'an operation'} is under way (${record.failoverState})`,
        true,
      ),
  },
  {
    rule: 'no-primary',
    decide: ({ lease }) => refusedIf(lease.state !== 'held', `the lease is ${lease.state}`, true),
  },
  {
    rule: 'not-whole',
    decide: (view) => {
      const unwell = whatIsUnwell(view, view.record, view.lease);
      return refusedIf(unwell.length > 0, unwell.join('; '), true);
    },
  },
  {
    rule: 'all-upgraded',
    decide: ({ hosts, wanted }) =>
      hosts.every(({ release }) => release?.sha256 === wanted) ? { kind: 'done' } : null,
  },
  {
    rule: 'standby',
    decide: ({ hosts, lease, record, wanted }) =>
      upgradeFirst(
        hosts.filter(({ id }) => id !== lease.holder && record.members.includes(id)),
        wanted,
      ),
  },
  {
    rule: 'proxy',
    decide: ({ hosts, record, wanted }) =>
      upgradeFirst(
        hosts.filter(({ id }) => record.proxies.includes(id)),
        wanted,
      ),
  },
  {
    rule: 'switch-over-first',
    decide: ({ lease, record }) =>
      record.members.some((id) => id !== lease.holder)
        ? { kind: 'switchover', from: lease.holder, epoch: lease.epoch }
        : null,
  },
  { rule: 'only-primary', decide: ({ hosts, wanted }) => upgradeFirst(hosts, wanted) },
];

/**
 * What the release that was just brought to a host may have done, beside its not being reported: then it is taken back. All else (a pause,
 * another operator's release, an operation) is nobody's release, and to bring it back everywhere would be one more change to it.
 */
export function mayBeTheRelease(rule: string): boolean {
  return rule === notUpgraded || rule === 'not-whole' || rule === 'no-primary';
}

/** A host's command succeeded, and it does not report the release. */
export const notUpgraded = 'not-upgraded';

export function decideUpgrade(view: UpgradeView): UpgradeDecision {
  const { record, lease } = view;
  if (record === null || lease === null)
    return {
      kind: 'refused',
      rule: 'not-bootstrapped',
      reason: 'the cluster has no primary yet',
      passing: false,
    };
  const hosts = hostsOf(record, view.reports);
  const missing = [...record.members, ...record.proxies].filter(
    (id) => !hosts.some((host) => host.id === id),
  );
  if (missing.length > 0)
    return {
      kind: 'refused',
      rule: 'never-reported',
      reason: `${missing.join(', ')} has never reported`,
      passing: true,
    };
  for (const { rule, decide } of rows) {
    const decided = decide({ ...view, record, lease, hosts });
    if (decided !== null) return { ...decided, rule };
  }
  throw new Error(
    'InvariantViolation: a host that has another release is none of standby, proxy and primary',
  );
}

/** Members, then proxies, as far as they have reported. */
export function hostsOf(record: ClusterRecord, reports: Reports): readonly UpgradeHost[] {
  const host = (id: NodeId, report: NodeReport | ProxyReport | undefined): UpgradeHost[] =>
    report === undefined ? [] : [{ id, instanceId: report.instanceId, release: report.agent ?? null }];
  return [
    ...record.members.flatMap((id) =>
      host(
        id,
        reports.nodes.find(({ node }) => node === id),
      ),
    ),
    ...record.proxies.flatMap((id) =>
      host(
        id,
        reports.proxies.find(({ proxy }) => proxy === id),
      ),
    ),
  ];
}

/** Each once, those that are not wanted. */
export function otherReleases(hosts: readonly UpgradeHost[], wanted: string): readonly AgentRelease[] {
  const found = new Map<string, AgentRelease>();
  for (const { release } of hosts) {
    if (release !== null && release.sha256 !== wanted) found.set(release.sha256, release);
  }
  return [...found.values()];
}

/**
 * The hosts that have the wanted release, in the order in which they go back: proxies, standbys, the primary last. All of them, also
 * those of an earlier run: a cluster is not left with two releases because of one that does not work.
 */
export function hostsToRollBack(
  record: ClusterRecord,
  lease: Lease | null,
  reports: Reports,
  wanted: string,
): readonly UpgradeHost[] {
  const turn = ({ id }: UpgradeHost) => (record.proxies.includes(id) ? 0 : id === lease?.holder ? 2 : 1);
  return hostsOf(record, reports)
    .filter(({ release }) => release?.sha256 === wanted)
    .toSorted((one, other) => turn(one) - turn(other));
}
