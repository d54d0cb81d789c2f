/**
 * A comparison: in each mode all systems come up side by side, and every planned run is made in turn. What a run shows, or why it
 * failed, is kept; a system that failed one is brought up anew for its next.
 */
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
  const settings: Record<string, string | number | boolean> = {};
  const versions: Record<string, string> = {};
  const notes = new Set<string>();
  for (const mode of wanted.modes) {
    const slots: Slot[] = [];
    try {
      for (const maker of wanted.makers) {
        const why = cannotTakePart(maker, { mode, hosts: wanted.hosts });
        if (why !== null) {
          notes.add(why);
          say(why);
          continue;
        }
        say(`bringing up ${maker.name}, mode ${mode}`);
        const slot = await openSlot(maker, {
          mode,
          hosts: wanted.hosts,
          signal,
          onProgress: () => undefined,
        });
        slots.push(slot);
        Object.assign(versions, slot.open?.versions);
        for (const [name, value] of Object.entries(slot.open?.settings ?? {}))
          settings[`${maker.name}: ${name}`] = value;
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
      for (const { open } of slots) await open?.close(false);
    }
  }
  return { wanted, runs, settings, versions, notes: [...notes] };
}

function cannotTakePart(maker: SystemMaker, how: Pick<OpenSystem, 'mode' | 'hosts'>): string | null {
  const packages = maker.missingPackages();
  if (packages.length > 0) {
    return `${maker.name} was left out: it needs the Debian packages ${packages.join(' ')}, which are not installed.`;
  }
  const refusal = maker.refuses(how);
  return refusal === null ? null : `${maker.name} was left out: ${refusal}`;
}

async function openSlot(maker: SystemMaker, how: OpenSystem): Promise<Slot> {
  const open = await maker.open(how);
  const { scenarios, paths } = open;
  return { name: maker.name, scenarios, paths, open, reopen: () => maker.open(how) };
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
    return { ...id, outcome: 'failed', why: error instanceof Error ? error.message : String(error) };
  }
}

function lineOf(run: Run): string {
  const name = [run.system, run.mode, run.scenario, run.path, `run ${run.round}`].join(' ').padEnd(60);
  if (run.outcome === 'failed') return `${name} FAILED: ${run.why}`;
  const { gapMs, errors, lost, redundantAfterMs } = run.measured;
  return `${name} gap ${gapMs} ms, ${errors} errors, ${lost} lost, redundant after ${redundantAfterMs} ms`;
}
