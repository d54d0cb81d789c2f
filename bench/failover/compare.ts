/**
 * A comparison: in each mode all systems come up side by side, and every planned run is made in turn. What a run shows, or why it
 * failed, is kept; a system that failed one is brought up anew for its next.
 */
import type { LatencyProfile } from '../../local/aws/latency-profile.ts';
import type { SynchronousMode } from '../history/check-losses.ts';
import type { HostDriverName } from '../read-options.ts';
import type {
  OpenSystem,
  PathName,
  Scenario,
  SystemMaker,
  SystemUnderTest,
} from '../systems/system-under-test.ts';
import { type ClientOptions, type MeasuredRun, measureRun } from './measure-run.ts';
import { type Able, planRuns } from './plan-runs.ts';

export interface WantedComparison extends ClientOptions {
  readonly makers: readonly SystemMaker[];
  readonly scenarios: readonly Scenario[];
  readonly paths: readonly PathName[];
  readonly modes: readonly SynchronousMode[];
  readonly rounds: number;
  readonly awayMs: number;
  readonly hosts: HostDriverName;
  readonly latency: LatencyProfile;
  readonly ttlMs: number | null;
}

export interface RunId {
  readonly system: string;
  readonly mode: SynchronousMode;
  readonly scenario: Scenario;
  readonly path: PathName;
  readonly round: number;
}

export type Run = RunId &
  (
    | { readonly outcome: 'measured'; readonly measured: MeasuredRun }
    | { readonly outcome: 'failed'; readonly why: string }
  );

export interface Comparison {
  readonly wanted: WantedComparison;
  readonly runs: readonly Run[];
  /** By system, with its mode. */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  readonly versions: Readonly<Record<string, string>>;
  /** What was asked for and could not take part, and why. */
  readonly notes: readonly string[];
  /** A system that should have come up did not. */
  readonly failed: boolean;
}

/** A system with what it takes to bring it up anew. */
interface Slot extends Able {
  readonly name: string;
  readonly reopen: () => Promise<SystemUnderTest>;
  /** Null after a run that failed. */
  open: SystemUnderTest | null;
}

type Say = (line: string) => void;

/** Throws the signal's reason when that is aborted; everything is down then. */
export async function compare(wanted: WantedComparison, signal: AbortSignal, say: Say): Promise<Comparison> {
  const runs: Run[] = [];
  const taking: TakingPart = { settings: {}, versions: {}, notes: new Set(), failed: false };
  for (const mode of wanted.modes) {
    const slots: Slot[] = [];
    try {
      for (const maker of wanted.makers) {
        const { hosts, latency, ttlMs } = wanted;
        const slot = await openSlot(
          maker,
          { mode, hosts, latency, ttlMs, signal, onProgress: () => undefined },
          taking,
          say,
        );
        if (slot === null) continue;
        slots.push(slot);
        for (const what of absentFrom(slot, wanted))
          taking.notes.add(`${slot.name} was opened without ${what}.`);
      }
      for (const planned of planRuns(slots, wanted.scenarios, wanted.paths, wanted.rounds)) {
        signal.throwIfAborted();
        const { system: slot, scenario, path, round } = planned;
        const id = { system: slot.name, mode, scenario, path, round };
        const run = await attempt(slot, id, { ...wanted, signal, table: `bench_${runs.length}` });
        runs.push(run);
        say(lineOf(run));
      }
    } finally {
      await closeAll(slots);
    }
  }
  const { settings, versions, notes, failed } = taking;
  return { wanted, runs, settings, versions, notes: [...notes], failed };
}

/** Each, whatever comes of the others. Throws what was wrong with the first that could not be closed. */
async function closeAll(slots: readonly Slot[]): Promise<void> {
  const closed = await Promise.allSettled(slots.map(({ open }) => open?.close(false)));
  for (const outcome of closed) if (outcome.status === 'rejected') throw outcome.reason;
}

/** The scenarios and paths that were asked for and that it does not have as it was opened. */
function absentFrom(slot: Slot, { scenarios, paths }: WantedComparison): string[] {
  return [
    ...scenarios.filter((scenario) => !slot.scenarios.has(scenario)),
    ...paths.filter((path) => slot.paths[path] === undefined).map((path) => `the path ${path}`),
  ];
}

/** What is gathered while systems come up. */
interface TakingPart {
  readonly settings: Record<string, string | number | boolean>;
  readonly versions: Record<string, string>;
  readonly notes: Set<string>;
  failed: boolean;
}

/** Null when it does not take part; the rest goes on, and a note says why. */
async function openSlot(
  maker: SystemMaker,
  how: OpenSystem,
  taking: TakingPart,
  say: Say,
): Promise<Slot | null> {
  const leaveOut = (why: string) => {
    taking.notes.add(why);
    say(why);
    return null;
  };
  const why = cannotTakePart(maker, how);
  if (why !== null) return leaveOut(why);
  say(`bringing up ${maker.name}, mode ${how.mode}`);
  try {
    const open = await maker.open(how);
    Object.assign(taking.versions, open.versions);
    for (const [name, value] of Object.entries(open.settings)) {
      const key = `${maker.name}: ${name}`;
      const differs = taking.settings[key] !== undefined && taking.settings[key] !== value;
      taking.settings[differs ? `${key} (mode ${how.mode})` : key] = value;
    }
    const { scenarios, paths } = open;
    return { name: maker.name, scenarios, paths, open, reopen: () => maker.open(how) };
  } catch (error) {
    how.signal.throwIfAborted();
    taking.failed = true;
    return leaveOut(`${maker.name}, mode ${how.mode}, did not come up: ${wordsOf(error)}`);
  }
}

function cannotTakePart(maker: SystemMaker, how: Pick<OpenSystem, 'mode' | 'hosts'>): string | null {
  const packages = maker.missingPackages();
  if (packages.length > 0) {
    return `${maker.name} was left out: it needs the Debian packages ${packages.join(' ')}, which are not installed.`;
  }
  const refusal = maker.refuses(how);
  return refusal === null ? null : `${maker.name} was left out: ${refusal}`;
}

async function attempt(
  slot: Slot,
  id: RunId,
  options: ClientOptions & { readonly awayMs: number; readonly signal: AbortSignal; readonly table: string },
): Promise<Run> {
  const { clients, rate, awayMs, signal, table } = options;
  const { scenario, path } = id;
  try {
    slot.open ??= await slot.reopen();
    const measured = await measureRun(slot.open, { scenario, path, clients, rate, awayMs, signal, table });
    return { ...id, outcome: 'measured', measured };
  } catch (error) {
    const failed = slot.open;
    slot.open = null;
    await failed?.close(!signal.aborted && process.env['LEASEHOLD_KEEP_SANDBOX'] !== undefined);
    signal.throwIfAborted();
    return { ...id, outcome: 'failed', why: wordsOf(error) };
  }
}

function lineOf(run: Run): string {
  const name = [run.system, run.mode, run.scenario, run.path, `run ${run.round}`].join(' ').padEnd(60);
  if (run.outcome === 'failed') return `${name} FAILED: ${run.why}`;
  const { gapMs, errors, lost, redundantAfterMs } = run.measured;
  return `${name} gap ${gapMs} ms, ${errors} errors, ${lost} lost, redundant after ${redundantAfterMs} ms`;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
