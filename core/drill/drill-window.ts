/**
 * The window in which drills may run: days of the week and a time of day, in UTC, written as `sat,sun 02:00-04:30`. A window that
 * ends before it begins goes on past midnight, and belongs to the day on which it began. Pure: the time is an argument.
 */
import { InvalidInput } from '../wire/fields.ts';

const dayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
type Day = (typeof dayNames)[number];

export interface DrillWindow {
  readonly days: readonly Day[];
  /** Minutes since midnight, UTC; `from` is in the window, `to` is not. */
  readonly fromMinute: number;
  readonly toMinute: number;
}

export const windowTakes =
  'days and a time of day in UTC, such as "sat,sun 02:00-04:30", "daily 03:00-04:00" or "always"';
const minutesPerDay = 24 * 60;

/** Null: at any time. Throws InvalidInput. */
export function parseDrillWindow(value: unknown, field = 'window'): DrillWindow | null {
  if (typeof value !== 'string') throw new InvalidInput(field, value, windowTakes);
  if (value.trim() === 'always') return null;
  const match = /^([a-z,]+) +(\d{2}):(\d{2})-(\d{2}):(\d{2})$/.exec(value.trim().toLowerCase());
  const days = match?.[1] === 'daily' ? dayNames : match?.[1]?.split(',').map(dayOf);
  const fromMinute = minuteOf(match?.[2], match?.[3]);
  const toMinute = minuteOf(match?.[4], match?.[5]);
  if (days === undefined || fromMinute === null || toMinute === null || fromMinute === toMinute)
    throw new InvalidInput(field, value, windowTakes);
  const known = days.filter((day) => day !== null);
  if (known.length !== days.length) throw new InvalidInput(field, value, windowTakes);
  return { days: known, fromMinute, toMinute };
}

function dayOf(text: string): Day | null {
  return dayNames.find((name) => name === text) ?? null;
}

function minuteOf(hours: string | undefined, minutes: string | undefined): number | null {
  const minute = Number(hours) * 60 + Number(minutes);
  return Number(minutes) < 60 && minute <= minutesPerDay ? minute : null;
}

/** `nowMs`: since 1970, UTC. */
export function isInWindow(window: DrillWindow | null, nowMs: number): boolean {
  if (window === null) return true;
  const minutes = Math.floor(nowMs / 60_000);
  const minute = minutes % minutesPerDay;
  // 1970 began on a Thursday.
  const day = (Math.floor(minutes / minutesPerDay) + 4) % 7;
  const on = (which: number): boolean => window.days.includes(dayNames[(which + 7) % 7] ?? 'sun');
  const { fromMinute, toMinute } = window;
  if (fromMinute < toMinute) return on(day) && minute >= fromMinute && minute < toMinute;
  return (on(day) && minute >= fromMinute) || (on(day - 1) && minute < toMinute);
}
