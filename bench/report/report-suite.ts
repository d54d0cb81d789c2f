/** `npm run bench -- report`: the report, made again from what the suites have saved or from files that are named. It starts nothing. */
import type { Command } from 'commander';
import { readString } from '../../core/wire/fields.ts';
import { suiteOptions } from '../read-options.ts';
import type { SuiteCommand } from '../suite-command.ts';
import { suiteNames } from './bench-result.ts';
import { suiteWords } from './report-words.ts';
import { readResultFile, resultsFolder, savedResults } from './result-files.ts';
import { writeReport } from './write-report.ts';

function command(): Command {
  return suiteOptions('report', 'Makes report.html, report.json and report.md from saved results.')
    .argument('[results...]', 'files of results (default: the newest of each suite)')
    .option('--out <folder>', 'where the report is written', resultsFolder);
}

function run(options: unknown, _signal: AbortSignal, files: readonly string[]): Promise<number> {
  const folder = readString((options as { out?: unknown }).out, '--out');
  const results = files.length === 0 ? savedResults() : files.map(readResultFile);
  if (results.length === 0) {
    const commands = suiteNames.map((suite) => suiteWords[suite].command).join(', ');
    throw new Error(
      `nothing has been measured yet: ${resultsFolder} holds no results. These measure: ${commands}`,
    );
  }
  for (const file of writeReport(folder, results, new Date().toISOString())) {
    process.stdout.write(`${file}\n`);
  }
  return Promise.resolve(0);
}

export const reportSuite: SuiteCommand = { command, run };
