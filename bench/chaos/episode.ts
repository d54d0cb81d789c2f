/**
 * One episode of a chaos run: from a whole cluster through faults, and perhaps an operation, back to a whole cluster, and the
 * judgement of what was seen. Whoever repairs here does only what an operator would: takes the fault back, and starts
 * instances that EC2 has stopped.
 */
import { sleepMs } from '../../adapters/clock.ts';
import { doubleFaults } from '../../local/faults/all-faults.ts';
import type { Fault, FaultRole, Undo } from '../../local/faults/fault.ts';
import type { Operator } from '../../local/faults/operator.ts';
import type { ClusterHandle } from '../../local/runtime/cluster-handle.ts';
import type { Excuse } from '../history/check-tenures.ts';
import type { Violation } from '../history/history.ts';
import type { Judgement, Observation } from '../history/observation.ts';
import type { DrawnEpisode, DrawnFault } from './draw.ts';

export interface EpisodeSurroundings {
  readonly cluster: ClusterHandle;
  readonly observation: Observation;
  readonly operator: Operator;
  readonly signal: AbortSignal;
  /** From the undo to a whole cluster; longer is a violation. */
  readonly wholeTimeoutMs: number;
}

export interface EpisodeReport {
  /** What was done, with times from the start of the episode. */
  readonly story: readonly string[];
  /** From the undo; null when it was never whole again. */
  readonly wholeAfterMs: number | null;
  readonly judgement: Judgement | null;
  readonly violations: readonly Violation[];
}

/** A host that stood still may answer for so long after it woke: until it is scheduled, and its guard has looked. */
export const wakesWithinMs = 500;
const lookMs = 200;

export async function runEpisode(
  drawn: DrawnEpisode,
  surroundings: EpisodeSurroundings,
): Promise<EpisodeReport> {
  const { cluster, observation, signal } = surroundings;
  await cluster.untilWhole(surroundings.wholeTimeoutMs, signal);
  await sleepMs(drawn.restMs);
  observation.mark();
  const startedMs = performance.now();
  const story: string[] = [];
  const tell = (line: string) => story.push(`${Math.round(performance.now() - startedMs)} ms: ${line}`);
  const undos: { host: string; fault: Fault; undo: Undo }[] = [];
  const excuses: Excuse[] = [];
  try {
    for (const { atMs, act } of acts(drawn, surroundings, undos, tell)) {
      await sleepMs(Math.max(0, startedMs + atMs - performance.now()));
      signal.throwIfAborted();
      await act();
    }
    await heldFor(drawn.holdMs, signal);
  } finally {
    // Whatever happens, a stopped process or an absent service is no state to leave a cluster in.
    for (const { host, fault, undo } of undos.reverse()) {
      const wokenMs = performance.now();
      if (fault.freezesHost === true) {
        excuses.push({ node: host, fromMs: wokenMs, toMs: wokenMs + wakesWithinMs });
      }
      await undo();
      if (fault.mendsItself !== true) tell(`undone: ${fault.id}`);
    }
  }
  const undoneMs = performance.now();
  const missing = await wholeAgain(surroundings, tell);
  const wholeAfterMs = Math.round(performance.now() - undoneMs);
  if (missing !== null) {
    const violations = [{ rule: 'not-whole-again' as const, message: missing }];
    return { story, wholeAfterMs: null, judgement: null, violations };
  }
  const judgement = await observation.judge({
    excuses,
    double: drawn.faults.length > 1 || drawn.faults.some(({ fault }) => doubleFaults.includes(fault)),
  });
  return { story, wholeAfterMs, judgement, violations: judgement.violations };
}

interface Act {
  readonly atMs: number;
  readonly act: () => Promise<void>;
}

function acts(
  drawn: DrawnEpisode,
  { cluster, operator }: EpisodeSurroundings,
  undos: { host: string; fault: Fault; undo: Undo }[],
  tell: (line: string) => void,
): Act[] {
  const { operation } = drawn;
  const asked: Act[] =
    operation === null
      ? []
      : [
          {
            atMs: operation.atMs,
            act: async () => {
              tell(`asked for a ${operation.kind}: ${await operator.ask(operation.kind, 'chaos')}`);
            },
          },
        ];
  const struck = drawn.faults.map((fault) => ({
    atMs: fault.atMs,
    act: async () => {
      const host = await hostFor(cluster, fault);
      if (host === null) return tell(`${fault.fault.id}: nobody to strike at this moment`);
      try {
        undos.push({ host, fault: fault.fault, undo: await fault.fault.apply(cluster, host) });
        tell(`${fault.fault.id}${host === '' ? '' : ` on ${host}`}`);
      } catch (error) {
        // Such as a postmaster that is just then being started by an operation.
        tell(`${fault.fault.id}: ${error instanceof Error ? error.message : String(error)}`);
      }
    },
  }));
  return [...asked, ...struck].sort((left, right) => left.atMs - right.atMs);
}

/** Null when there is none of that role now: in the middle of a hand-over nobody holds the lease. */
async function hostFor(cluster: ClusterHandle, { fault, pick }: DrawnFault): Promise<string | null> {
  return hostOfRole(cluster, fault.strikes, pick);
}

export async function hostOfRole(
  cluster: ClusterHandle,
  role: FaultRole,
  pick: number,
): Promise<string | null> {
  const { nodes, proxies } = cluster.wanted;
  const one = (hosts: readonly string[]) => hosts[Math.floor(pick * hosts.length)] ?? null;
  if (role === 'cluster') return '';
  if (role === 'proxy') return one(proxies);
  const primary = await cluster.primary().catch(() => null);
  if (primary === null) return null;
  return role === 'primary' ? primary : one(nodes.filter((node) => node !== primary));
}

/** The undo must come even when the run is broken off. */
async function heldFor(ms: number, signal: AbortSignal): Promise<void> {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs && !signal.aborted) {
    await sleepMs(Math.min(lookMs, Math.max(0, untilMs - performance.now())));
  }
}

/** Null once the cluster is whole, else what is missing when the time is up. */
export async function wholeAgain(
  { cluster, operator, signal, wholeTimeoutMs }: Omit<EpisodeSurroundings, 'observation'>,
  tell: (line: string) => void,
): Promise<string | null> {
  const untilMs = performance.now() + wholeTimeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const missing = await cluster.missing();
    if (missing.length === 0) return null;
    if (performance.now() > untilMs) return `after ${wholeTimeoutMs / 1000} s: ${missing.join('; ')}`;
    for (const host of await operator.startStopped()) tell(`as an operator: EC2 StartInstances ${host}`);
    await sleepMs(lookMs);
  }
}
