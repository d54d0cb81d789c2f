/**
 * Fires the stack's schedules at their rates, as EventBridge does: the first time one interval after the start,
 * then at every interval whatever the last run did. A target that has not finished may be called again, up to a
 * bound, because that is what it has to stand in AWS.
 */
import { randomUUID } from 'node:crypto';
import type { ScheduleDefinition } from './template-resources.ts';

export type ScheduleOptions = {
  readonly schedules: readonly ScheduleDefinition[];
  readonly region: string;
  readonly accountId: string;
  /** Calls a target: a Lambda function's or a state machine's ARN, with JSON. */
  readonly invoke: (targetArn: string, input: string) => Promise<unknown>;
  /** Told what went wrong, a call left out because too many are under way included. */
  readonly onFailure: (schedule: ScheduleDefinition, error: Error) => void;
  /** In place of a schedule's own rate; left out: as the template says. */
  readonly everyMs?: (targets: ScheduleDefinition['targets'], rateMs: number) => number;
};

export type RunningSchedules = {
  /** Fires no more. Calls under way go on. */
  stop(): void;
};

/** EventBridge would queue; here a target that never returns must not pile up calls. */
const maxUnderWay = 5;

const unitsMs: Readonly<Record<string, number>> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };
/** Node's longest timer, 24.8 days. */
const maxTimerMs = 2 ** 31 - 1;

/**
 * The interval of `rate(5 minutes)` in milliseconds.
 *
 * @throws Error for anything else: a schedule that never fires would go unnoticed.
 */
export function rateMs(expression: string): number {
  const match = /^rate\((\d+) (minute|hour|day)s?\)$/.exec(expression);
  const intervalMs = Number(match?.[1] ?? 0) * (unitsMs[match?.[2] ?? ''] ?? 0);
  if (intervalMs <= 0 || intervalMs > maxTimerMs) throw new Error(`the schedule ${expression} is not played`);
  return intervalMs;
}

/** Starts all enabled schedules. Throws, before any is started, when one cannot be played. */
export function runSchedules(options: ScheduleOptions): RunningSchedules {
  const enabled = options.schedules
    .filter((schedule) => schedule.enabled)
    .map((schedule) => {
      const rate = rateMs(schedule.expression);
      return { schedule, intervalMs: options.everyMs?.(schedule.targets, rate) ?? rate };
    });
  const timers = enabled.map(({ schedule, intervalMs }) => {
    let underWay = 0;
    const timer = setInterval(() => {
      for (const target of schedule.targets) {
        if (underWay >= maxUnderWay) {
          options.onFailure(schedule, new Error(`${maxUnderWay} calls of ${target.arn} are still under way`));
          continue;
        }
        underWay += 1;
        options
          .invoke(target.arn, target.input ?? defaultInput(schedule, options))
          .catch((error: unknown) => options.onFailure(schedule, error as Error))
          .finally(() => {
            underWay -= 1;
          });
      }
    }, intervalMs);
    return timer.unref();
  });
  return {
    stop() {
      for (const timer of timers) clearInterval(timer);
    },
  };
}

/** What a rule sends to a target for which the template gives no input; the Scheduler sends an empty object. */
function defaultInput(schedule: ScheduleDefinition, { region, accountId }: ScheduleOptions): string {
  switch (schedule.kind) {
    case 'scheduler':
      return '{}';
    case 'rule':
      return JSON.stringify({
        version: '0',
        id: randomUUID(),
        'detail-type': 'Scheduled Event',
        source: 'aws.events',
        account: accountId,
        time: new Date().toISOString(),
        region,
        resources: [schedule.arn],
        detail: {},
      });
  }
}
