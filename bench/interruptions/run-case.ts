/**
 * One interruption: from a whole cluster, an operation is begun, one program is killed at one step of it, and the cluster is
 * watched until it is whole again. What clients and probes of every node saw of it is judged like any chaos episode.
 */
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { SFN } from '@aws-sdk/client-sfn';
import { faultNamed } from '../../local/faults/all-faults.ts';
import { findPart, type HostPart, hostFolder, signalAll } from '../../local/faults/host-parts.ts';
import type { Operator } from '../../local/faults/operator.ts';
import type { ClusterHandle } from '../../local/runtime/cluster-handle.ts';
import { wholeAgain } from '../chaos/episode.ts';
import type { Judgement, Observation } from '../history/observation.ts';
import { openVerbs, reached, type WatchedHost } from './moments.ts';
import { prepare } from './operations.ts';
import type { InterruptionCase, OperationName, Part, Parts, Victim } from './scene.ts';

export interface CaseSurroundings {
  readonly cluster: ClusterHandle;
  readonly observation: Observation;
  readonly operator: Operator;
  readonly signal: AbortSignal;
  readonly wholeTimeoutMs: number;
  /** Brings a killed runtime up again, as its owner would. */
  readonly restartRuntime: () => Promise<void>;
}

export interface CaseReport {
  readonly operation: string;
  readonly step: string;
  readonly victim: string;
  /** `not-seen`: the operation went by another way; `nobody`: the victim did not run at that moment. */
  readonly struck: 'yes' | 'not-seen' | 'nobody';
  /** From the blow; null when it was never whole again. */
  readonly wholeAfterMs: number | null;
  /** What agents resumed or rolled back by their journals, and how operations ended. */
  readonly outcome: readonly string[];
  readonly judgement: Judgement | null;
  readonly violations: readonly string[];
}

const stepLimitMs = 20_000;
/** It looks each minute; the failover that it may start, and the standbys that follow, take some seconds. */
const sentinelLimitMs = 60_000 + 15_000;

export async function runCase(one: InterruptionCase, surroundings: CaseSurroundings): Promise<CaseReport> {
  const { cluster, observation, operator, signal, wholeTimeoutMs } = surroundings;
  const { operation, step, victim } = one;
  if (operation === 'bootstrap') throw new Error('a bootstrap has no cluster to begin with');
  await cluster.untilWhole(wholeTimeoutMs, signal);
  const before = await newestEvent(cluster);
  const prepared = await prepare[operation](cluster, operator);
  observation.mark();
  const watches = step.on.map((part) => {
    const host = prepared.parts[part] ?? '';
    return { part, isThere: step.moment(watchedHost(cluster, host)) };
  });
  let seenOn: Part | null = null;
  const seen = reached(() => {
    seenOn = watches.find(({ isThere }) => isThere())?.part ?? null;
    return seenOn !== null;
  }, stepLimitMs);
  await prepared.begin();
  let struck: CaseReport['struck'] = 'not-seen';
  if (await seen)
    struck = (await strike(victim, playing(operation, prepared.parts, seenOn), cluster)) ? 'yes' : 'nobody';
  const struckMs = performance.now();
  if (victim === 'runtime' && struck === 'yes') await surroundings.restartRuntime();
  await prepared.repair();
  const missing = await wholeAgain({ cluster, operator, signal, wholeTimeoutMs }, () => undefined);
  const wholeAfterMs = missing === null ? Math.round(performance.now() - struckMs) : null;
  const judgement = missing === null ? await observation.judge() : null;
  const violations = [
    ...(missing === null ? [] : [`not whole again: ${missing}`]),
    ...(judgement?.violations.map(({ rule, message }) => `${rule}: ${message}`) ?? []),
    ...(missing === null ? leftBehind(cluster.wanted.nodes.map((node) => hostFolder(cluster, node))) : []),
    ...(victim === 'execution' && (wholeAfterMs ?? 0) > sentinelLimitMs
      ? [`the sentinel took ${wholeAfterMs} ms to pick up a dead execution`]
      : []),
    ...(operation === 'switchover' && victim !== 'runtime' && (judgement?.lost ?? 0) > 0
      ? [`a switchover lost ${judgement?.lost} acknowledged writes`]
      : []),
  ];
  const outcome = await toldSince(cluster, before);
  return { operation, step: step.name, victim, struck, wholeAfterMs, outcome, judgement, violations };
}

/** In a failover nobody is the target beforehand: the node on which the step is seen counts as it. */
function playing(operation: OperationName, parts: Parts, seenOn: Part | null): Parts {
  if (operation !== 'failover' || seenOn !== 'other') return parts;
  const { target = '', other = '' } = parts;
  return { ...parts, target: other, other: target };
}

export function watchedHost(cluster: ClusterHandle, host: string): WatchedHost {
  const folder = hostFolder(cluster, host);
  return { folder, logFile: join(folder, 'agent.log') };
}

/** False when nothing of that name runs at this moment. */
async function strike(victim: Victim, parts: Parts, cluster: ClusterHandle): Promise<boolean> {
  if (victim === 'functions') {
    await faultNamed('functions-killed').apply(cluster, '');
    return true;
  }
  if (victim === 'execution') return await stopExecution(cluster);
  if (victim === 'runtime') {
    process.kill(cluster.pid(), 'SIGKILL');
    return true;
  }
  const [part = 'from', name = 'agent'] = victim.split(' ') as [Part, HostPart];
  const host = parts[part];
  if (host === undefined) return false;
  return signalAll(findPart(cluster, host, name), 'SIGKILL') > 0;
}

const maxEvents = 200;
/** What a person wants to know of a case; the rest is in the history of the cluster. */
const telling =
  /^(action_(resumed|rolled_back)|operation_(aborted|failed|rolled_back)|rewind_failed|promotion_failed|node_(rewound|rebuilt)|recovery_decided|lease_(released|sealed)|wal_discarded|sentinel_acted)$/;

async function newestEvent(cluster: ClusterHandle): Promise<string> {
  const events = await cluster.store().listEvents(1);
  return events.kind === 'ok' ? (events.value[0]?.id ?? '') : '';
}

/** Events sort by their ids; oldest first, each with what it says. */
async function toldSince(cluster: ClusterHandle, before: string): Promise<string[]> {
  const events = await cluster.store().listEvents(maxEvents);
  if (events.kind !== 'ok') return [`events: ${events.kind}`];
  return events.value
    .filter(({ id, kind }) => id > before && telling.test(kind))
    .toReversed()
    .map(({ who, kind, rule, message }) => `${who} ${kind}${rule === '' ? '' : ` (${rule})`}: ${message}`);
}

/** As an operator would in the AWS console; nobody carries the operation on then, and the sentinel must find out. */
async function stopExecution(cluster: ClusterHandle): Promise<boolean> {
  const head = await cluster.store().readHead();
  const arn = head.kind === 'ok' ? head.value.record?.operation?.executionArn : null;
  if (arn == null) return false;
  const { region, awsEndpointUrl, accessKeyId, secretAccessKey } = cluster.endpoints();
  const sfn = new SFN({ region, endpoint: awsEndpointUrl, credentials: { accessKeyId, secretAccessKey } });
  try {
    await sfn.stopExecution({ executionArn: arn });
    return true;
  } finally {
    sfn.destroy();
  }
}

/** What an interruption must not leave on a host: half made data directories, a quarantine, unfinished work in its journal. */
export function leftBehind(hostFolders: readonly string[]): string[] {
  return hostFolders.flatMap((folder) => {
    const left = readdirSync(join(folder, 'data')).filter((name) =>
      /\.((rebuilding|initialising)-.*|quarantine)$/.test(name),
    );
    const open = openVerbs(folder).filter((verb) => !['follow', 'acquire-and-promote'].includes(verb));
    return [...left, ...open].map((what) => `left behind on ${basename(folder)}: ${what}`);
  });
}
