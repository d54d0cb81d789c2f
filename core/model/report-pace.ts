/**
 * How often a host that has nothing new to say reports all the same: its silence must show, and its positions are what others measure lag
 * by. Pure. One that has been as it is for a while, and writes next to nothing, reports least: each report costs.
 */
export const reportPaceMs = { inOperation: 1_000, busy: 10_000, quiet: 30_000 } as const;

/** Another minute of it is likely to be the same. */
const quietAfterMs = 60_000;
/** A position that has moved by more since the last report is told in time: lag is measured against it. */
const quietBytes = 2 ** 20;

/** How long after its last report a host makes the next. Anything but a position is reported when it changes, whatever this says. */
export function reportEveryMs(host: {
  readonly inOperation: boolean;
  /** For how long nothing but positions has changed. */
  readonly unchangedForMs: number;
  /** Since its last report, by its own position or away from what it follows. */
  readonly movedBytes: number;
}): number {
  if (host.inOperation) return reportPaceMs.inOperation;
  const quiet = host.unchangedForMs >= quietAfterMs && host.movedBytes < quietBytes;
  return quiet ? reportPaceMs.quiet : reportPaceMs.busy;
}
