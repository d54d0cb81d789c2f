/**
 * What the rotation of one secret does next: the table behind the four steps by which Secrets Manager calls a rotation function. Each step
 * means "bring it so far", from wherever the record says that it stands, so any step may run twice, late, or after one that died.
 *
 * Upholds R1 (a version that is not ready on every host is used by none, and one that is not used by every host does not become
 * current), R2 (no version goes while a host uses it) and R3 (nothing changes while an operation is under way or the cluster is not whole:
 * each write is a compare-and-set on the record, which an operation that begins meanwhile has changed; but that a version which was given
 * up is withdrawn from a cluster that is not whole, as it may be that version's doing).
 */
import { type ClusterRecord, epochRecord } from '../model/cluster-record.ts';
import {
  isLogin,
  neverRotated,
  type SecretKind,
  type SecretUse,
  type SecretVersions,
} from '../model/cluster-secrets.ts';
import type { Lease } from '../model/lease.ts';
import type { NodeReport, ProxyReport } from '../model/node-report.ts';

/** In Secrets Manager's order. */
export const rotationSteps = ['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const;
export type RotationStep = (typeof rotationSteps)[number];

export interface RotationFacts {
  readonly kind: SecretKind;
  readonly step: RotationStep;
  /** The id of the version that is to be the next. */
  readonly version: string;
  /** What Secrets Manager says of that version; `empty`: staged as pending and still without a text. */
  readonly standing: 'absent' | 'empty' | 'pending' | 'current';
  /** The version that Secrets Manager calls current; null: none. */
  readonly currentVersion: string | null;
  readonly record: ClusterRecord | null;
  readonly lease: Lease | null;
  readonly nodes: readonly NodeReport[];
  readonly proxies: readonly ProxyReport[];
}

export type RotationOrder =
  /** This step has come to its end. */
  | { readonly kind: 'done' }
  /** Ask again soon, for as long as there is time, and then let Secrets Manager try again. */
  | { readonly kind: 'wait' }
  /** Waiting mends nothing. */
  | { readonly kind: 'refuse' }
  | { readonly kind: 'make-text' }
  | { readonly kind: 'make-current' }
  /** In the record, if nobody has changed that meanwhile and no operation is under way. */
  | { readonly kind: 'write'; readonly versions: SecretVersions };

export interface RotationDecision {
  readonly rule: string;
  readonly order: RotationOrder;
  readonly reason: string;
}

interface Row {
  readonly rule: string;
  /** Null: the row does not match; else the reason, for people. */
  readonly when: (facts: RotationFacts) => string | null;
  readonly order: (facts: RotationFacts) => RotationOrder;
}

const wait = (): RotationOrder => ({ kind: 'wait' });
const done = (): RotationOrder => ({ kind: 'done' });

export function versionsOf(record: ClusterRecord | null, kind: SecretKind): SecretVersions {
  return (record?.secrets ?? neverRotated)[kind];
}

const versions = (facts: RotationFacts) => versionsOf(facts.record, facts.kind);
const upTo = (facts: RotationFacts, step: RotationStep) =>
  rotationSteps.indexOf(facts.step) <= rotationSteps.indexOf(step);
const isNext = (facts: RotationFacts) => versions(facts).next?.version === facts.version;
const stage = (facts: RotationFacts) => (isNext(facts) ? versions(facts).next?.stage : undefined);

/** A write of the record, with what is not named as it is. */
function write(facts: RotationFacts, change: Partial<SecretVersions>): RotationOrder {
  return { kind: 'write', versions: { ...versions(facts), ...change } };
}

/** Hosts that have a secret of that kind, by name; a proxy does not replicate. */
function hosts({ kind, record, nodes, proxies }: RotationFacts) {
  const database = (record?.members ?? []).map((name) => ({
    name,
    secrets: nodes.find(({ node }) => node === name)?.secrets,
  }));
  if (kind === 'replication') return database;
  const proxy = (record?.proxies ?? []).map((name) => ({
    name,
    secrets: proxies.find((report) => report.proxy === name)?.secrets,
  }));
  return [...database, ...proxy];
}

/** Null when all are; else the hosts that are not, for a reason. */
function unless(facts: RotationFacts, what: string, is: (use: SecretUse) => boolean): string | null {
  const left = hosts(facts).filter(({ secrets }) => {
    const use = secrets?.[facts.kind];
    return use === undefined || !is(use);
  });
  return left.length === 0 ? null : `${left.map(({ name }) => name).join(', ')}: ${what}`;
}

/** Null: every member runs, in this epoch, and streams; every proxy routes to the primary. */
function notWhole(facts: RotationFacts): string | null {
  const { record, lease, nodes, proxies } = facts;
  if (record === null || lease === null) return null;
  const unwellNodes = record.members.filter((name) => {
    const report = nodes.find(({ node }) => node === name);
    if (report === undefined || report.postgres !== 'running' || report.epoch !== lease.epoch) return true;
    return name === lease.holder ? report.role !== 'primary' : report.role !== 'standby' || !report.streaming;
  });
  const unwellProxies = record.proxies.filter((name) => {
    const report = proxies.find(({ proxy }) => proxy === name);
    return report === undefined || report.epoch !== lease.epoch || report.paused;
  });
  const unwell = [...unwellNodes, ...unwellProxies];
  return unwell.length === 0 ? null : `not in its place: ${unwell.join(', ')}`;
}

/**
 * Null unless hosts use what Secrets Manager calls current, whatever the record says. Of a login some may still use what they were
 * installed with: they look whether PostgreSQL takes the current one before they change over. The text that agents share has no such look.
 */
function usedAlready(facts: RotationFacts): string | null {
  const { kind, currentVersion } = facts;
  if (currentVersion === null) return null;
  const uses = hosts(facts).map(({ secrets }) => secrets?.[kind]?.uses);
  const all = uses.every((use) => use === currentVersion || (use === null && isLogin(kind)));
  return all && uses.includes(currentVersion) ? `hosts use ${currentVersion} already` : null;
}

function cannotFollow(facts: RotationFacts): string | null {
  const unable = hosts(facts).filter(({ secrets }) => secrets === undefined);
  const names = unable.map(({ name }) => name).join(', ');
  return unable.length === 0
    ? null
    : `no agent there that can follow a rotation (an older version, or a configuration without secretIds): ${names}`;
}

const rows: readonly Row[] = [
  {
    rule: 'no-such-version',
    when: (f) =>
      f.standing === 'absent' ? 'Secrets Manager has not staged that version for a rotation' : null,
    order: () => ({ kind: 'refuse' }),
  },
  {
    rule: 'over',
    when: (f) => {
      const { current, next } = versions(f);
      return f.standing === 'current' && current === f.version && next === null
        ? 'this version is the current one'
        : null;
    },
    order: done,
  },
  {
    // RotateImmediately=false: Secrets Manager makes a version for this step alone, and takes it back.
    rule: 'only-tried',
    when: (f) =>
      f.step === 'testSecret' && !isNext(f)
        ? 'this version was never offered: the configuration alone is tried'
        : null,
    order: done,
  },
  {
    rule: 'not-bootstrapped',
    when: (f) =>
      f.record === null || f.lease === null || epochRecord(f.record, f.lease.epoch) === null
        ? 'the cluster has no primary yet'
        : null,
    order: wait,
  },
  {
    rule: 'operation-under-way',
    when: ({ record }) =>
      record !== null && (record.operation !== null || record.failoverState !== 'stable')
        ? `operation ${record.operation?.id ?? ''} is under way (${record.failoverState})`
        : null,
    order: wait,
  },
  { rule: 'paused', when: ({ record }) => (record?.paused ? 'the cluster is paused' : null), order: wait },
  {
    rule: 'no-primary',
    when: ({ lease }) => (lease?.state === 'held' ? null : `the lease is ${lease?.state}`),
    order: wait,
  },
  {
    // Before the cluster has to be whole: it may be that very version by which a standby does not stream. What they go back to is what all used.
    rule: 'withdraw-other',
    when: (f) => {
      const { next } = versions(f);
      return next !== null && !isNext(f) && next.stage === 'used' && next.version !== f.currentVersion
        ? `hosts use ${next.version}, whose rotation was given up: back to the current one first`
        : null;
    },
    order: (f) => {
      const { next } = versions(f);
      return write(f, { next: next === null ? null : { ...next, stage: 'offered' } });
    },
  },
  { rule: 'host-cannot-follow', when: cannotFollow, order: wait },
  { rule: 'not-whole', when: notWhole, order: wait },
  {
    // Its rotation died between the two: every host used it before it became current.
    rule: 'close-other',
    when: (f) => {
      const { next } = versions(f);
      return next !== null && !isNext(f) && next.stage === 'used' && next.version === f.currentVersion
        ? `${next.version} is the current one already`
        : null;
    },
    order: (f) => ({ kind: 'write', versions: { current: f.currentVersion, next: null } }),
  },
  {
    rule: 'no-text',
    when: (f) => (f.standing === 'empty' ? 'the version has no text yet' : null),
    order: () => ({ kind: 'make-text' }),
  },
  { rule: 'created', when: (f) => (upTo(f, 'createSecret') ? 'the version has a text' : null), order: done },
  {
    // The record was made anew, and hosts go on with what a former one had them use.
    rule: 'note-current',
    when: (f) => (versions(f).current === null && versions(f).next === null ? usedAlready(f) : null),
    order: (f) => write(f, { current: f.currentVersion }),
  },
  {
    rule: 'host-behind',
    when: (f) =>
      isNext(f)
        ? null
        : unless(f, 'does not use the current version', ({ uses }) => uses === versions(f).current),
    order: wait,
  },
  {
    rule: 'offer',
    when: (f) => (isNext(f) ? null : 'every host uses the current version'),
    order: (f) => write(f, { next: { version: f.version, stage: 'offered' } }),
  },
  {
    rule: 'not-ready',
    when: (f) =>
      stage(f) === 'offered' ? unless(f, 'not ready for it', ({ ready }) => ready === f.version) : null,
    order: wait,
  },
  {
    rule: 'ready',
    when: (f) => (upTo(f, 'setSecret') ? 'every host could use it' : null),
    order: done,
  },
  {
    rule: 'use',
    when: (f) => (stage(f) === 'offered' ? 'every host could use it' : null),
    order: (f) => write(f, { next: { version: f.version, stage: 'used' } }),
  },
  {
    rule: 'not-used',
    when: (f) => unless(f, 'does not use it yet', ({ uses }) => uses === f.version),
    order: wait,
  },
  {
    rule: 'tested',
    when: (f) => (upTo(f, 'testSecret') ? 'every host uses it' : null),
    order: done,
  },
  {
    rule: 'make-current',
    when: (f) => (f.standing === 'pending' ? 'every host uses it' : null),
    order: () => ({ kind: 'make-current' }),
  },
  {
    rule: 'close',
    when: () => 'Secrets Manager calls it the current one',
    order: (f) => ({ kind: 'write', versions: { current: f.version, next: null } }),
  },
];

export const rotationRules: readonly string[] = rows.map(({ rule }) => rule);

/** Always a row: the last one matches whatever is left. */
export function decideRotation(facts: RotationFacts): RotationDecision {
  for (const { rule, when, order } of rows) {
    const reason = when(facts);
    if (reason !== null) return { rule, order: order(facts), reason };
  }
  throw new Error('InvariantViolation: no row of the table matches');
}
