/**
 * Makes the report in its three forms from results, each file whole or not at all. Unlike a run's own files they are readable by
 * everybody: they are to be shown.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchResult } from './bench-result.ts';
import { htmlReport } from './html/html-report.ts';
import { markdownReport } from './markdown-report.ts';
import { inOrder, missingSuites } from './report-words.ts';

/** The files that were written: HTML, JSON, Markdown. `madeAt`: ISO 8601 in UTC. */
export function writeReport(folder: string, results: readonly BenchResult[], madeAt: string): string[] {
  const all = { madeAt, notMeasured: missingSuites(results), results: inOrder(results) };
  const contents = {
    'report.html': htmlReport(results, madeAt),
    'report.json': `${JSON.stringify(all, null, 2)}\n`,
    'report.md': markdownReport(results, madeAt),
  };
  mkdirSync(folder, { recursive: true });
  return Object.entries(contents).map(([name, content]) => {
    const file = join(folder, name);
    const draft = `${file}.${process.pid}.draft`;
    writeFileSync(draft, content);
    renameSync(draft, file);
    return file;
  });
}
