/** A host that has nothing new to say reports seldom, but for while its positions matter. */
import { expect, it } from 'vitest';
import { leastApartMs } from '../../core/health/cluster-health.ts';
import { reportEveryMs, reportPaceMs } from '../../core/model/report-pace.ts';

const quiet = { inOperation: false, unchangedForMs: 60_000, movedBytes: 0 };

it('is twice a minute for who has been the same for a minute', () => {
  expect(reportEveryMs(quiet)).toBe(reportPaceMs.quiet);
  expect(reportEveryMs({ ...quiet, unchangedForMs: 59_999 })).toBe(reportPaceMs.busy);
});

it('is every ten seconds as long as the position moves, because lag is measured against it', () => {
  expect(reportEveryMs({ ...quiet, movedBytes: 2 ** 20 - 1 })).toBe(reportPaceMs.quiet);
  expect(reportEveryMs({ ...quiet, movedBytes: 2 ** 20 })).toBe(reportPaceMs.busy);
  expect(reportEveryMs({ ...quiet, movedBytes: Number.POSITIVE_INFINITY })).toBe(reportPaceMs.busy);
});

it('is every second while an operation is under way', () => {
  expect(reportEveryMs({ ...quiet, inOperation: true })).toBe(reportPaceMs.inOperation);
});

it('leaves no healthy host silent between two looks that are compared', () => {
  expect(leastApartMs).toBeGreaterThanOrEqual(reportPaceMs.quiet + 10_000);
});
