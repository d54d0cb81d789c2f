/**
 * What the fence command does to the PostgreSQL of its host: an ordered table, first match wins. A command may run late, minutes
 * after the failover that sent it, when this host is primary again: by then its epoch is an old one. Upholds F2: a fence
 * at one epoch never kills what was opened at a newer one, and kills whenever that cannot be told.
 */

export interface FenceCommandState {
  /** No primary may run here at this epoch or below; the bar is on disk already. */
  readonly epoch: number;
  /**
   * The epoch under which what runs here was opened, or whose primary it follows: on disk before PostgreSQL is promoted or started,
   * and never raised while a primary of an older epoch runs. Null: it cannot be read.
   */
  readonly dataEpoch: number | null;
}

export interface FenceCommandDecision {
  readonly rule: string;
  readonly order: 'kill' | 'leave';
  readonly reason: string;
}

interface Row extends FenceCommandDecision {
  readonly when: (state: FenceCommandState) => boolean;
}

const rows: readonly Row[] = [
  {
    rule: 'epoch-unreadable',
    when: ({ dataEpoch }) => dataEpoch === null,
    order: 'kill',
    reason: 'the epoch of what runs here cannot be read',
  },
  {
    rule: 'opened-later',
    when: ({ dataEpoch, epoch }) => dataEpoch !== null && dataEpoch > epoch,
    order: 'leave',
    reason: 'what runs here was opened at a newer epoch: this command is late',
  },
  {
    rule: 'opened-at-or-below',
    when: () => true,
    order: 'kill',
    reason: 'what runs here may be a primary of this epoch or an older one',
  },
];

/** Total: the last row matches always. */
export function decideFenceCommand(state: FenceCommandState): FenceCommandDecision {
  const row = rows.find((candidate) => candidate.when(state));
  if (row === undefined) throw new Error('InvariantViolation: no row for a fence command');
  return { rule: row.rule, order: row.order, reason: row.reason };
}
