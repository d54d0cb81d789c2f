/**
 * What an interruption needs to know of the cluster that it is done to: who plays which part in the operation, and which
 * moments and victims there are. One list, from which the sweep and the tests take their cases.
 */
import type { ClusterHandle } from '../../local/runtime/cluster-handle.ts';
import { journalled, logged, type Moment, programRuns } from './moments.ts';

/**
 * `from`: the primary before; `target`: who is meant to become it, or whoever does; `other`: the third node; `comer`: the node
 * that joins, rewinds or is rebuilt; `source`: the primary that it copies from.
 */
export type Part = 'from' | 'target' | 'other' | 'comer' | 'source' | 'proxy';

export type Parts = Readonly<Partial<Record<Part, string>>>;

export type OperationName = 'bootstrap' | 'join' | 'rewind' | 'rebuild' | 'switchover' | 'failover';

export interface Step {
  readonly name: string;
  /** On whose host it is seen; of several, on the one where it is seen first. */
  readonly on: readonly Part[];
  readonly moment: Moment;
}

/** A program of one part, or something that is no host's. */
export type Victim = `${Part} ${'agent' | 'postmaster' | 'guard'}` | 'functions' | 'execution' | 'runtime';

export interface InterruptionCase {
  readonly operation: OperationName;
  readonly step: Step;
  readonly victim: Victim;
}

const begins = (verb: string) => logged('"message":"action begins"', `"action":"${verb}@`);
const event = (kind: string) => logged(`"message":"${kind}"`);

const joining: readonly Step[] = [
  { name: 'the copy is being made', on: ['comer'], moment: programRuns('pg_basebackup') },
  { name: 'the server is started', on: ['comer'], moment: programRuns('postgres') },
  { name: 'it accepts connections', on: ['comer'], moment: event('postgres_started') },
];

export const stepsOfOperation: Readonly<Record<OperationName, readonly Step[]>> = {
  bootstrap: [
    { name: 'the claim', on: ['from', 'target', 'other'], moment: event('bootstrap_claimed') },
    { name: 'initdb runs', on: ['from', 'target', 'other'], moment: programRuns('initdb') },
    { name: 'the system is recorded', on: ['from', 'target', 'other'], moment: event('cluster_initialised') },
    { name: 'the first lease', on: ['from', 'target', 'other'], moment: event('lease_acquired') },
    { name: 'PostgreSQL is started', on: ['from', 'target', 'other'], moment: programRuns('postgres') },
    { name: 'a clone is being made', on: ['from', 'target', 'other'], moment: programRuns('pg_basebackup') },
  ],
  join: [...joining, { name: 'the copy is whole', on: ['comer'], moment: journalled('clone', 'copied') }],
  rewind: [
    { name: 'the agent judges', on: ['comer'], moment: logged('"rule":"rejoin-rewind"') },
    { name: 'the lost log is kept', on: ['comer'], moment: event('wal_discarded') },
    { name: 'the rewind is prepared', on: ['comer'], moment: journalled('rewind', 'rewinding') },
    { name: 'pg_rewind runs', on: ['comer'], moment: programRuns('pg_rewind') },
    { name: 'the rewind is whole', on: ['comer'], moment: journalled('rewind', 'rewound') },
    { name: 'it accepts connections', on: ['comer'], moment: event('postgres_started') },
  ],
  rebuild: [
    ...joining,
    { name: 'the copy is whole', on: ['comer'], moment: journalled('rebuild', 'copied') },
  ],
  switchover: [
    { name: 'checkpoint', on: ['from'], moment: begins('checkpoint') },
    { name: 'await-catchup', on: ['target'], moment: begins('await-catchup') },
    { name: 'a standby goes over', on: ['other'], moment: journalled('follow', 'repointed') },
    {
      name: 'the target is armed',
      on: ['target'],
      moment: journalled('acquire-and-promote', 'promotion-expected'),
    },
    { name: 'stop-and-release', on: ['from'], moment: begins('stop-and-release') },
    { name: 'the proxy has paused', on: ['proxy'], moment: event('proxy_paused') },
    { name: 'the lease is released', on: ['from'], moment: event('lease_released') },
    { name: 'the lease is taken', on: ['target'], moment: event('lease_acquired') },
    {
      name: 'PostgreSQL is told to promote',
      on: ['target'],
      moment: logged('"message":"promotion ordered"'),
    },
    { name: 'the target is promoted', on: ['target'], moment: event('primary_promoted') },
    { name: 'the other follows', on: ['other'], moment: event('standby_following') },
  ],
  failover: [
    { name: 'the lease is sealed', on: ['target', 'other'], moment: event('lease_sealed') },
    { name: 'receivers are ended', on: ['target', 'other'], moment: begins('end-receiver') },
    { name: 'the promotion is ordered', on: ['target', 'other'], moment: begins('acquire-and-promote') },
    { name: 'the lease is taken', on: ['target', 'other'], moment: event('lease_acquired') },
    { name: 'a node is promoted', on: ['target', 'other'], moment: event('primary_promoted') },
  ],
};

const victimsOf: Readonly<Record<OperationName, readonly Victim[]>> = {
  bootstrap: ['from agent', 'from postmaster', 'runtime'],
  join: ['comer agent', 'comer postmaster', 'source agent', 'source postmaster', 'runtime'],
  rewind: ['comer agent', 'comer postmaster', 'source agent', 'source postmaster', 'runtime'],
  rebuild: ['comer agent', 'comer postmaster', 'source agent', 'source postmaster', 'runtime'],
  switchover: [
    'from agent',
    'from postmaster',
    'from guard',
    'target agent',
    'target postmaster',
    'target guard',
    'other agent',
    'other postmaster',
    'proxy agent',
    'functions',
    'execution',
    'runtime',
  ],
  failover: [
    'target agent',
    'target postmaster',
    'target guard',
    'other agent',
    'other postmaster',
    'proxy agent',
    'functions',
    'execution',
    'runtime',
  ],
};

export const operationNames = Object.keys(stepsOfOperation) as readonly OperationName[];

/** Every operation at every step with every victim. */
export const allCases: readonly InterruptionCase[] = operationNames.flatMap((operation) =>
  stepsOfOperation[operation].flatMap((step) =>
    victimsOf[operation].map((victim) => ({ operation, step, victim })),
  ),
);

/** Throws, naming what there is, for a case that does not exist. */
export function caseOf(operation: OperationName, step: string, victim: Victim): InterruptionCase {
  const found = allCases.find(
    (one) => one.operation === operation && one.step.name === step && one.victim === victim,
  );
  if (found !== undefined) return found;
  const names = stepsOfOperation[operation].map(({ name }) => name).join(', ');
  throw new Error(`no ${operation} with step ${step} and victim ${victim}; steps: ${names}`);
}

/** Parts of a cluster with a primary. */
export async function partsOf(cluster: ClusterHandle, comer?: string): Promise<Parts> {
  const primary = await cluster.primary();
  const standbys = cluster.wanted.nodes.filter((node) => node !== primary);
  const [target = '', other = ''] = standbys;
  const proxy = cluster.wanted.proxies[0] ?? '';
  return { from: primary, target, other, proxy, source: primary, ...(comer === undefined ? {} : { comer }) };
}
