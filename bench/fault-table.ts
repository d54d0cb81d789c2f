/**
 * `npm run faults -- [--mode off,on,strict] [--fault a,b*] [--state none|all|...] [--hold seconds] [--hosts netns]`: measures
 * what each fault does in each state of a switchover. One cluster a mode, whole again between two cells. Prints Markdown and writes
 * `.leasehold/faults-<mode>.json` and `.md`. Exit code 0 when nothing was violated, 1 when something was.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { allFaults } from '../local/faults/all-faults.ts';
import { Operator } from '../local/faults/operator.ts';
import { checkout } from '../local/runtime/build-artifacts.ts';
import { writeJsonFile } from '../local/runtime/json-file.ts';
import { type CellResult, runCell } from './faults/cell.ts';
import { chooseFaults, chooseStates, type PlannedCell, planCells } from './faults/plan-cells.ts';
import { renderMatrix } from './faults/render-matrix.ts';
import { renderTable } from './faults/render-table.ts';
import type { SynchronousMode } from './history/check-losses.ts';
import { Observation } from './history/observation.ts';
import {
  benchCommand,
  type HostDriverName,
  possibleFaults,
  readCommandLine,
  readHosts,
  readMode,
  readNumber,
} from './read-options.ts';
import { runBench } from './run-bench.ts';
import { openTemporaryCluster } from './temporary-cluster.ts';

const wholeTimeoutMs = 60_000;
/** Of each database host, where a fault of disks is asked for. */
const volumeMb = 1024;
const say = (line: string) => process.stdout.write(`${line}\n`);

interface Wanted {
  readonly modes: readonly SynchronousMode[];
  readonly cells: readonly PlannedCell[];
  readonly holdMs: number;
  readonly hosts: HostDriverName;
}

async function main({ modes, cells, holdMs, hosts }: Wanted, signal: AbortSignal): Promise<number> {
  say(`${cells.length} cells in ${modes.join(', ')}; each fault is held for ${holdMs / 1000} s`);
  let violated = false;
  for (const mode of modes) {
    const results = await measure({ mode, hosts, holdMs }, cells, signal);
    const text = [renderTable(mode, results), ...matrixOf(mode, results)].join('\n');
    const file = join(checkout, '.leasehold', `faults-${mode}`);
    writeJsonFile(`${file}.json`, { mode, holdMs, cells: results });
    writeFileSync(`${file}.md`, text);
    say(`\n${text}\nwritten to ${file}.md and .json`);
    violated ||= results.some(({ violations }) => violations.length > 0);
  }
  return violated ? 1 : 0;
}

/** Where there are several states, they are side by side as well. */
function matrixOf(mode: SynchronousMode, results: readonly CellResult[]): string[] {
  return new Set(results.map(({ state }) => state)).size > 1 ? [renderMatrix(mode, results)] : [];
}

interface Setting {
  readonly mode: SynchronousMode;
  readonly hosts: HostDriverName;
  readonly holdMs: number;
}

/** A cluster that is not whole again is fit for no other cell: the next ones get a new one. */
async function measure(
  setting: Setting,
  cells: readonly PlannedCell[],
  signal: AbortSignal,
): Promise<CellResult[]> {
  const results: CellResult[] = [];
  while (results.length < cells.length) {
    results.push(...(await measureOnOneCluster(setting, cells.slice(results.length), signal)));
  }
  return results;
}

/** One cell at least. Throws when the cluster does not come up, or a cell cannot be tried. */
async function measureOnOneCluster(
  { mode, hosts, holdMs }: Setting,
  cells: readonly PlannedCell[],
  signal: AbortSignal,
): Promise<CellResult[]> {
  const volumes = cells.some(({ fault }) => fault.needs === 'volume');
  const file = volumes ? { volumeMb } : {};
  const temporary = await openTemporaryCluster({ mode, hosts, file, signal });
  const { cluster } = temporary;
  const observation = new Observation({ cluster, mode, clients: 4, everyMs: 20 });
  const operator = new Operator(cluster);
  const results: CellResult[] = [];
  let broken = true;
  try {
    await observation.start();
    for (const planned of cells) {
      signal.throwIfAborted();
      const surroundings = { cluster, observation, operator, signal, wholeTimeoutMs };
      const held = planned.fault.mendsItself === true ? 0 : holdMs;
      const result = await runCell(planned, held, surroundings);
      results.push(result);
      say(lineOf(result));
      if (result.outcome === 'not-whole-again') break;
    }
    broken = false;
  } finally {
    await observation.stop();
    operator.close();
    const keep = !signal.aborted && (broken || results.some(isBad));
    await temporary.close(keep);
    if (keep) say(`logs and data are kept in ${temporary.folder}`);
  }
  return results;
}

const isBad = ({ violations }: CellResult) => violations.length > 0;

function lineOf(result: CellResult): string {
  const { fault, state, gapMs, errors, lost, wholeAfterMs, violations, outcome } = result;
  const figures =
    outcome === 'measured'
      ? `gap ${gapMs} ms, ${errors} errors, ${lost} lost, whole after ${wholeAfterMs} ms`
      : outcome;
  const bad = violations.map(({ rule, message }) => `  VIOLATED ${rule}: ${message}`).join('');
  return `${fault.padEnd(36)} ${state.padEnd(24)} ${figures}${bad}`;
}

const values = readCommandLine<{
  readonly mode: string;
  readonly fault: string;
  readonly state: string;
  readonly hosts: string;
  readonly hold: string;
}>(
  benchCommand('faults', 'What each fault does in each state of a switchover, as a table.')
    .option('--mode <modes>', 'off, on, strict; several with commas', 'off')
    .option('--fault <patterns>', "such as 'primary-agent-*,dynamodb-away'; all when it is left out", '')
    .option('--state <states>', 'none, a state of the operation, several with commas, or all', 'none')
    .option('--hosts <driver>', 'loopback, or netns (root): hosts with networks of their own', 'loopback')
    .option('--hold <seconds>', 'how long a fault is held', '4'),
);
const code = await runBench((signal) => {
  const hosts = readHosts(values.hosts);
  const known = possibleFaults(allFaults, hosts, { volumes: true });
  const wanted = {
    modes: values.mode.split(',').map(readMode),
    cells: planCells(chooseFaults(values.fault, known), chooseStates(values.state)),
    holdMs: readNumber('hold', values.hold) * 1000,
    hosts,
  };
  return main(wanted, signal);
});
process.exit(code);
