/**
 * Where results of the suites are kept: `.leasehold/bench/<suite>.json`, the newest of each. A file that was written is complete, for it
 * is renamed into its place.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from '../../local/runtime/build-artifacts.ts';
import { readJsonFile, writeJsonFile } from '../../local/runtime/json-file.ts';
import { type BenchResult, type SuiteName, suiteNames } from './bench-result.ts';
import { parseBenchResult } from './parse-result.ts';

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

/** Throws, naming the file and what is wrong in it, for a file that is absent, no JSON or no result of a suite. */
export function readResultFile(file: string): BenchResult {
  try {
    const content = readJsonFile<unknown>(file);
    if (content === null) throw new Error('there is no such file, or it says null');
    return parseBenchResult(content);
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The newest result of each suite that has one. Throws as `readResultFile` does. */
export function savedResults(): BenchResult[] {
  return suiteNames
    .map(resultFile)
    .filter((file) => existsSync(file))
    .map(readResultFile);
}
