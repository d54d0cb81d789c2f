/**
 * Where results of the suites are kept: `.leasehold/bench/<suite>.json`, the newest of each. A file that was written is complete, for it
 * is renamed into its place.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from '../../local/runtime/build-artifacts.ts';
import { readJsonFile, writeJsonFile } from '../../local/runtime/json-file.ts';
import { type BenchResult, type SuiteName, suiteNames } from './bench-result.ts';

export const resultsFolder = join(checkout, '.leasehold', 'bench');

export function resultFile(suite: SuiteName): string {
  return join(resultsFolder, `${suite}.json`);
}

/** Says where it was written. */
export function saveResult(result: BenchResult): string {
  const file = resultFile(result.suite);
  mkdirSync(resultsFolder, { recursive: true });
  writeJsonFile(file, result);
  return file;
}

/** The newest result of each suite that has one. Throws for a file that is no JSON. */
export function savedResults(): BenchResult[] {
  return suiteNames.flatMap((suite) => readJsonFile<BenchResult>(resultFile(suite)) ?? []);
}
