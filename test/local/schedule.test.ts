/** Schedules fire at their rates, and one that cannot be played is refused rather than left silent. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { rateMs, runSchedules } from '../../local/aws/schedule.ts';
import type { ScheduleDefinition } from '../../local/aws/template-resources.ts';

const everyMinute: ScheduleDefinition = {
  logicalId: 'Sentinel',
  name: 'sentinel',
  arn: 'arn:rule',
  kind: 'rule',
  expression: 'rate(1 minute)',
  enabled: true,
  targets: [{ arn: 'arn:function', input: undefined }],
};
const place = { region: 'us-east-1', accountId: '000000000000' };

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function run(
  schedules: readonly ScheduleDefinition[],
  invoke: (arn: string, input: string) => Promise<unknown>,
) {
  const failures: string[] = [];
  const running = runSchedules({
    schedules,
    ...place,
    invoke,
    onFailure: (_, error) => failures.push(error.message),
  });
  return { running, failures };
}

describe('a schedule', () => {
  test('fires once an interval, with the event of its rule, until it is stopped', () => {
    const inputs: string[] = [];
    const { running } = run([everyMinute], async (arn, input) => inputs.push(`${arn} ${input}`));
    vi.advanceTimersByTime(59_999);
    expect(inputs).toHaveLength(0);
    vi.advanceTimersByTime(1);
    expect(inputs).toHaveLength(1);
    expect(inputs[0]).toContain('arn:function {"version":"0"');
    expect(inputs[0]).toContain('"resources":["arn:rule"]');
    vi.advanceTimersByTime(120_000);
    expect(inputs).toHaveLength(3);
    running.stop();
    vi.advanceTimersByTime(600_000);
    expect(inputs).toHaveLength(3);
  });

  test('sends the input that the template gives, and nothing while it is disabled', () => {
    const inputs: string[] = [];
    const given = { ...everyMinute, targets: [{ arn: 'arn:function', input: '{"do":"count"}' }] };
    run([given, { ...given, enabled: false }], async (_, input) => inputs.push(input));
    vi.advanceTimersByTime(60_000);
    expect(inputs).toEqual(['{"do":"count"}']);
  });

  test('goes on after a failure, and does not pile up calls that never end', async () => {
    let calls = 0;
    const { failures } = run([everyMinute], () => {
      calls += 1;
      return calls === 1 ? Promise.reject(new Error('first')) : new Promise(() => {});
    });
    for (let minute = 0; minute < 10; minute += 1) await vi.advanceTimersByTimeAsync(60_000);
    expect(failures[0]).toBe('first');
    expect(calls).toBe(6);
    expect(failures.at(-1)).toBe('5 calls of arn:function are still under way');
  });
});

test.each([
  ['rate(1 minute)', 60_000],
  ['rate(5 minutes)', 300_000],
  ['rate(2 hours)', 7_200_000],
  ['rate(1 day)', 86_400_000],
])('%s is every %i ms', (expression, intervalMs) => {
  expect(rateMs(expression)).toBe(intervalMs);
});

test.each(['cron(0 12 * * ? *)', 'rate(0 minutes)', 'rate(60 days)', 'at(2026-01-01T00:00:00)', ''])(
  'the schedule "%s" is refused',
  (expression) => {
    expect(() => rateMs(expression)).toThrow(/is not played/);
    expect(() => run([{ ...everyMinute, expression }], async () => {})).toThrow(/is not played/);
  },
);
