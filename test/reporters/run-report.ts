/**
 * Ends each test run with the reason of every skipped test, so that a gap in what was tested is never silent. Where
 * LEASEHOLD_TEST_REPORT names a file, the same result is written there as JSON for `.ci/run`.
 */
import { writeFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule } from 'vitest/node';

/** What `.ci/run` reads: counts of tests, and each skipped one with its reason. */
export interface RunReport {
  passed: number;
  failed: number;
  skipped: { test: string; reason: string }[];
}

const noReason = 'no reason given';

/** Counts the tests of a run. A file that cannot be loaded and an error outside every test count as one failure each. */
export function summarise(modules: readonly TestModule[], unhandledErrors: number): RunReport {
  const report: RunReport = { passed: 0, failed: unhandledErrors, skipped: [] };
  for (const module of modules) {
    if (module.errors().length > 0) report.failed += 1;
    for (const suite of module.children.allSuites()) report.failed += suite.errors().length;
    for (const test of module.children.allTests()) countTest(report, module, test);
  }
  return report;
}

function countTest(report: RunReport, module: TestModule, test: TestCase): void {
  const result = test.result();
  if (result.state === 'passed') report.passed += 1;
  else if (result.state === 'skipped') {
    report.skipped.push({
      test: `${module.relativeModuleId} > ${test.fullName}`,
      reason: result.note ?? noReason,
    });
  } else report.failed += 1; // failed, or still pending when the run was cut off
}

/** The vitest reporter around `summarise`. */
export class RunReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const report = summarise(modules, unhandledErrors.length);
    for (const { test, reason } of report.skipped) process.stdout.write(`skipped: ${test} (${reason})\n`);
    const file = process.env['LEASEHOLD_TEST_REPORT'];
    if (file) writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`);
  }
}
