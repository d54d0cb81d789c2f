/**
 * A chaos run: episodes drawn from a seed over one running cluster until the time is up, each judged, and the whole history judged
 * once more at the end. What a run promises to find is in docs/faults.md.
 */
import type { Fault } from '../../local/faults/fault.ts';
import { Operator } from '../../local/faults/operator.ts';
import type { ClusterHandle } from '../../local/runtime/cluster-handle.ts';
import type { SynchronousMode } from '../history/check-losses.ts';
import type { Violation } from '../history/history.ts';
import { Observation } from '../history/observation.ts';
import { type DrawnEpisode, drawEpisodes } from './draw.ts';
import { type EpisodeReport, runEpisode } from './episode.ts';

export interface ChaosOptions {
  readonly cluster: ClusterHandle;
  readonly mode: SynchronousMode;
  readonly seed: number;
  readonly faults: readonly Fault[];
  readonly double: boolean;
  /** No episode begins after so long. */
  readonly forMs: number;
  /** At most so many. */
  readonly maxEpisodes?: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export interface ChaosReport {
  readonly seed: number;
  readonly mode: SynchronousMode;
  readonly episodes: readonly (EpisodeReport & { readonly faults: readonly string[] })[];
  readonly acknowledged: number;
  readonly unknown: number;
  readonly failed: number;
  readonly lost: number;
  readonly violations: readonly Violation[];
  /** The first errors that clients saw. */
  readonly errorTexts: readonly string[];
}

const clients = 4;
const everyMs = 25;
const wholeTimeoutMs = 90_000;
const hardLimitEpisodes = 10_000;

export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { cluster, mode, seed, signal, say } = options;
  const observation = new Observation({ cluster, mode, clients, everyMs });
  const operator = new Operator(cluster);
  const episodes: (EpisodeReport & { faults: readonly string[] })[] = [];
  const violations: Violation[] = [];
  const surroundings = { cluster, observation, operator, signal, wholeTimeoutMs };
  const untilMs = performance.now() + options.forMs;
  const limit = Math.min(options.maxEpisodes ?? hardLimitEpisodes, hardLimitEpisodes);
  await observation.start();
  try {
    for (const drawn of drawEpisodes(seed, options.faults, options)) {
      if (episodes.length >= limit || performance.now() >= untilMs || signal.aborted) break;
      const report = await runEpisode(drawn, surroundings);
      episodes.push({ ...report, faults: drawn.faults.map(({ fault }) => fault.id) });
      violations.push(...report.violations);
      say(lineOf(episodes.length, drawn, report));
      for (const { rule, message } of report.violations) say(`     VIOLATED ${rule}: ${message}`);
      // A cluster that is not whole is fit for no other fault.
      if (report.judgement === null) break;
    }
  } finally {
    await observation.stop();
    operator.close();
  }
  const count = (outcome: string) =>
    observation.appends.appends.filter((append) => append.outcome === outcome).length;
  return {
    seed,
    mode,
    episodes,
    acknowledged: count('acknowledged'),
    unknown: count('unknown'),
    failed: count('failed'),
    lost: episodes.reduce((sum, { judgement }) => sum + (judgement?.lost ?? 0), 0),
    violations,
    errorTexts: observation.appends.errorTexts,
  };
}

function lineOf(number: number, drawn: DrawnEpisode, report: EpisodeReport): string {
  const faults = drawn.faults.map(({ fault }) => fault.id).join(' + ');
  const asked = drawn.operation === null ? '' : `, ${drawn.operation.kind} asked`;
  const { judgement, wholeAfterMs } = report;
  const head = `${String(number).padStart(3)}  ${`${faults} ${(drawn.holdMs / 1000).toFixed(1)} s${asked}`.padEnd(64)}`;
  if (judgement === null) return `${head} NOT WHOLE AGAIN`;
  const { gapMs, failed, unknown, lost } = judgement;
  const seconds = ((wholeAfterMs ?? 0) / 1000).toFixed(1);
  const figures = `gap ${gapMs} ms, ${failed + unknown} errors, ${lost} lost, whole after ${seconds} s`;
  return `${head} ${figures}${report.violations.length === 0 ? '' : '  BAD'}`;
}
