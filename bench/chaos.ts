/**
 * `npm run chaos -- --seed N --minutes M [--mode off|on|strict] [--faults a,b] [--double] [--hosts loopback|netns]`: brings a cluster up, draws faults at
 * random over it while clients write, and says whether every promise held. Writes `.leasehold/chaos-<mode>-<seed>.json`. Exit code 0 when
 * nothing was violated, 1 when something was (logs and data are then kept), 130 after Ctrl-C.
 */
import { join } from 'node:path';
import { doubleFaults, faultNamed, singleFaults } from '../local/faults/all-faults.ts';
import type { Fault } from '../local/faults/fault.ts';
import { checkout } from '../local/runtime/build-artifacts.ts';
import { writeJsonFile } from '../local/runtime/json-file.ts';
import { runChaos } from './chaos/run-chaos.ts';
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

const say = (line: string) => process.stdout.write(`${line}\n`);

interface Wanted {
  readonly seed: number;
  readonly minutes: number;
  readonly mode: ReturnType<typeof readMode>;
  readonly faults: readonly Fault[];
  readonly double: boolean;
  readonly hosts: HostDriverName;
}

async function main(wanted: Wanted, signal: AbortSignal): Promise<number> {
  const { seed, minutes, mode, faults, double, hosts } = wanted;
  say(`chaos: seed ${seed}, ${minutes} minutes, mode ${mode}, ${faults.length} faults to draw from`);
  const temporary = await openTemporaryCluster({ mode, hosts, signal });
  let keep = true;
  try {
    const report = await runChaos({
      cluster: temporary.cluster,
      mode,
      seed,
      faults,
      double,
      forMs: minutes * 60_000,
      signal,
      say,
    });
    const file = join(checkout, '.leasehold', `chaos-${mode}-${seed}.json`);
    writeJsonFile(file, report);
    const { acknowledged, unknown, failed, lost, violations } = report;
    say('');
    say(
      `${report.episodes.length} episodes: ${acknowledged} appends acknowledged, ${unknown} unknown, ${failed} refused, ${lost} lost`,
    );
    say(`written to ${file}`);
    const violated = violations.length > 0;
    keep = violated || process.env['LEASEHOLD_KEEP_SANDBOX'] !== undefined;
    if (!violated) say('verdict: nothing was violated');
    else say(`verdict: VIOLATED ${[...new Set(violations.map(({ rule }) => rule))].join(', ')}`);
    return violated ? 1 : 0;
  } catch (error) {
    keep = !signal.aborted;
    throw error;
  } finally {
    await temporary.close(keep);
    if (keep) say(`logs and data are kept in ${temporary.folder}`);
  }
}

function readFaults(names: string, double: boolean, hosts: HostDriverName): readonly Fault[] {
  if (names !== '') return names.split(',').map((name) => faultNamed(name));
  const faults = double ? [...singleFaults, ...doubleFaults] : singleFaults;
  return possibleFaults(faults, hosts);
}

const values = readCommandLine<{
  readonly seed: string;
  readonly minutes: string;
  readonly mode: string;
  readonly faults: string;
  readonly double: boolean;
  readonly hosts: string;
}>(
  benchCommand('chaos', 'Draws faults at random over a running cluster, and says whether every promise held.')
    .option('--seed <number>', 'the same seed draws the same episodes', String(Date.now() % 100_000))
    .option('--minutes <number>', 'how long faults are drawn', '5')
    .option('--mode <mode>', 'synchronous replication: off, on or strict', 'off')
    .option('--faults <names>', 'only these, with commas between them', '')
    .option('--double', 'two faults at once: more than what is promised', false)
    .option('--hosts <driver>', 'loopback, or netns (root): hosts with networks of their own', 'loopback'),
);
const code = await runBench((signal) => {
  const hosts = readHosts(values.hosts);
  return main(
    {
      seed: readNumber('seed', values.seed, { whole: true }),
      minutes: readNumber('minutes', values.minutes),
      mode: readMode(values.mode),
      faults: readFaults(values.faults, values.double, hosts),
      double: values.double,
      hosts,
    },
    signal,
  );
});
process.exit(code);
