/**
 * `npm run bench -- <suite> [options]`: one subcommand a suite, and `report`, which makes the report from what the suites have saved. Exit
 * code 0 when it was measured, 1 when something failed, 2 for a command line that it does not know, 130 after Ctrl-C.
 */
import { costSuite } from './cost/cost-suite.ts';
import { failoverSuite } from './failover/failover-suite.ts';
import { benchCommand, readCommandLine } from './read-options.ts';
import { reportSuite } from './report/report-suite.ts';
import { runBench } from './run-bench.ts';
import { scaleSuite } from './scale/scale-suite.ts';
import type { SuiteCommand } from './suite-command.ts';
import { throughputSuite } from './throughput/throughput-suite.ts';

const suites: readonly SuiteCommand[] = [failoverSuite, throughputSuite, costSuite, scaleSuite, reportSuite];

let chosen: ((signal: AbortSignal) => Promise<number>) | null = null;
const program = benchCommand(
  'bench',
  'Measures this cluster, and others beside it, as clients see them.',
).usage('<suite> [options]');
for (const suite of suites) {
  const command = suite.command();
  program.addCommand(
    command.action(() => {
      chosen = (signal) => suite.run(command.opts(), signal, command.args);
    }),
  );
}
readCommandLine(program);
process.exit(chosen === null ? 2 : await runBench(chosen));
