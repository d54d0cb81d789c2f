/**
 * What a restarted agent does about the work that the former agent began and did not end: an ordered table, first match wins,
 * over one open entry of the host's journal and what is observed now. Upholds H6: nothing that outlives an agent is
 * forgotten; it is either brought to its end or taken back, before anything else is decided on the host. What the host's own
 * table finds out by looking (`decide.ts`: a lease to adopt, a server that is down, a data directory in quarantine) is not
 * repeated here.
 *
 * | verb                | steps                 | how an entry is left                                             |
 * |---------------------|-----------------------|------------------------------------------------------------------|
 * | bootstrap           | initialising          | the data directory is in place, or its folder is removed         |
 * | clone, rebuild      | copying, copied       | the copy is in place and its epoch noted, or it is removed       |
 * | rewind              | rewinding, rewound    | the directory is a standby's of the epoch, or stays quarantined  |
 * | follow              | repointed             | the node follows whom it should, or another one                  |
 * | acquire-and-promote | promotion-expected    | the setting is reset                                             |
 */
import type { LeaseState, NodeId } from '../model/lease.ts';
import type { HostDisk } from './host-state.ts';

export type JournalVerb = 'bootstrap' | 'clone' | 'rebuild' | 'rewind' | 'follow' | 'acquire-and-promote';

export type JournalStepName =
  | 'initialising'
  | 'copying'
  | 'copied'
  | 'rewinding'
  | 'rewound'
  | 'repointed'
  | 'promotion-expected';

/** Which steps a verb can have come to. */
export const stepsOf: Readonly<Record<JournalVerb, readonly JournalStepName[]>> = {
  bootstrap: ['initialising'],
  clone: ['copying', 'copied'],
  rebuild: ['copying', 'copied'],
  rewind: ['rewinding', 'rewound'],
  follow: ['repointed'],
  'acquire-and-promote': ['promotion-expected'],
};

/** How each step is undone, for a person who reads the journal. */
export const undoOf: Readonly<Record<JournalStepName, string>> = {
  initialising: 'end initdb, remove its folder',
  copying: 'end pg_basebackup, remove the copy',
  copied: 'put the former data directory back, remove the copy',
  rewinding: 'none once pg_rewind has begun: the directory is quarantined and rebuilt',
  rewound: 'none needed: the directory is a standby',
  repointed: 'follow the primary again',
  'promotion-expected': 'reset wal_retrieve_retry_interval',
};

export interface JournalStep {
  readonly step: JournalStepName;
  /** ISO 8601, for people. */
  readonly at: string;
  readonly undo: string;
}

export interface JournalEntry {
  readonly id: string;
  readonly verb: JournalVerb;
  /** Null: the host's own order. */
  readonly operation: string | null;
  /** The lease's epoch that the work was for. */
  readonly epoch: number;
  /** Whom to follow, or where a copy or a rewind comes from. */
  readonly node: NodeId | null;
  /** Names the folder in which a new data directory is made, and the one in which the former is kept; null where none is made. */
  readonly nonce: string | null;
  /** There was a data directory, which the new one takes the place of. */
  readonly replaces: boolean;
  /** In the order in which they were begun; never empty. */
  readonly steps: readonly JournalStep[];
}

/** One thing that an agent does to bring an entry to its end. */
export type JournalEffect =
  /** Ends pg_basebackup, pg_rewind and initdb that still work on this data directory. */
  | 'end-programs'
  /** Ends servers on it: a crash recovery that was made for a rewind. */
  | 'end-servers'
  | 'remove-copy'
  /** The former data directory returns to its place. */
  | 'put-back'
  /** The copy takes the place of the data directory, which is kept. */
  | 'put-in-place'
  /** The data is noted as of the entry's epoch, and its quarantine is lifted. */
  | 'adopt-data'
  /** The agent knows again whom its server follows. */
  | 'follow-again'
  /** The agent knows again that the setting is in force. */
  | 'expect-promotion'
  | 'reset-setting';

export interface JournalDecision {
  /** The id of the row: it appears in the event and the log line. */
  readonly rule: string;
  readonly kind: 'resume' | 'roll-back' | 'nothing-to-do';
  readonly effects: readonly JournalEffect[];
  readonly reason: string;
}

export interface JournalView {
  readonly node: NodeId;
  readonly entry: JournalEntry;
  readonly currentOperation: string | null;
  /** Whom the current operation is about to make primary. */
  readonly target: NodeId | null;
  readonly lease: { readonly holder: NodeId; readonly epoch: number; readonly state: LeaseState } | null;
  readonly dataDirectory: HostDisk['dataDirectory'];
  readonly copyThere: boolean;
  readonly keptThere: boolean;
}

interface Row {
  readonly rule: string;
  readonly when: (view: JournalView) => boolean;
  readonly kind: JournalDecision['kind'];
  readonly effects: readonly JournalEffect[];
  readonly reason: string;
}

const last = ({ entry }: JournalView) => entry.steps.at(-1)?.step;
const isCopy = ({ entry }: JournalView) => entry.verb === 'clone' || entry.verb === 'rebuild';
const isCurrent = ({ entry, currentOperation }: JournalView) =>
  entry.operation !== null && entry.operation === currentOperation;
const holds = ({ lease, node }: JournalView) => lease?.state === 'held' && lease.holder === node;
/** Of an epoch that the lease has not reached: a table that went back. Nothing is decided by it. */
const isAhead = ({ entry, lease }: JournalView) => lease !== null && entry.epoch > lease.epoch;
/** The former directory was set aside, or there was none: what lies in its place is the copy. */
const isInPlace = (view: JournalView) =>
  !view.copyThere &&
  (view.dataDirectory === 'present' || view.dataDirectory === 'quarantined') &&
  (!view.entry.replaces || view.keptThere);
const wasSetAside = (view: JournalView) => view.dataDirectory === 'absent' && view.keptThere;

const copyRows: readonly Row[] = [
  {
    rule: 'copy-cut',
    when: (v) => isCopy(v) && last(v) === 'copying',
    kind: 'roll-back',
    effects: ['end-programs', 'remove-copy'],
    reason: 'the copy was not complete: it was never a data directory',
  },
  {
    rule: 'copy-unwanted-set-aside',
    when: (v) => isCopy(v) && (holds(v) || isAhead(v)) && wasSetAside(v),
    kind: 'roll-back',
    effects: ['end-programs', 'put-back', 'remove-copy'],
    reason: 'the copy is not to be used any more: the former data directory returns',
  },
  {
    rule: 'copy-unwanted',
    when: (v) => isCopy(v) && (holds(v) || isAhead(v)) && v.copyThere,
    kind: 'roll-back',
    effects: ['end-programs', 'remove-copy'],
    reason: 'the copy is not to be used any more',
  },
  {
    rule: 'copy-complete',
    when: (v) => isCopy(v) && v.copyThere,
    kind: 'resume',
    effects: ['end-programs', 'end-servers', 'put-in-place', 'adopt-data'],
    reason: 'the copy was complete: it takes its place instead of being made again',
  },
  {
    rule: 'copy-in-place',
    when: (v) => isCopy(v) && isInPlace(v) && !holds(v) && !isAhead(v),
    kind: 'resume',
    effects: ['adopt-data'],
    reason: 'the copy had taken its place: only its epoch was not noted',
  },
  {
    rule: 'copy-lost',
    when: (v) => isCopy(v) && wasSetAside(v),
    kind: 'roll-back',
    effects: ['put-back'],
    reason: 'the copy is gone: the former data directory returns',
  },
  {
    rule: 'copy-nowhere',
    when: isCopy,
    kind: 'nothing-to-do',
    effects: [],
    reason: 'nothing of the copy is left',
  },
];

const rewindRows: readonly Row[] = [
  {
    rule: 'rewind-not-mine',
    when: (v) => v.entry.verb === 'rewind' && holds(v),
    kind: 'nothing-to-do',
    effects: [],
    reason: "this node holds the lease: its data is the cluster's",
  },
  {
    rule: 'rewind-complete',
    when: (v) => v.entry.verb === 'rewind' && last(v) === 'rewound' && !isAhead(v),
    kind: 'resume',
    effects: ['end-programs', 'adopt-data'],
    reason: 'the rewind was complete: only its epoch was not noted',
  },
  {
    rule: 'rewind-cut',
    when: (v) => v.entry.verb === 'rewind' && v.dataDirectory === 'quarantined',
    kind: 'roll-back',
    effects: ['end-programs'],
    reason:
      'the directory may hold the blocks of two histories: it stays in quarantine, and the node is rebuilt',
  },
  {
    rule: 'rewind-untouched',
    when: (v) => v.entry.verb === 'rewind',
    kind: 'roll-back',
    effects: ['end-programs', 'end-servers'],
    reason: 'pg_rewind had not begun: what recovers the directory is ended, and it is judged anew',
  },
];

export const journalTable: readonly Row[] = [
  ...copyRows,
  ...rewindRows,
  {
    rule: 'bootstrap-cut',
    when: (v) => v.entry.verb === 'bootstrap' && v.dataDirectory === 'absent',
    kind: 'roll-back',
    effects: ['end-programs', 'remove-copy'],
    reason: 'the first data directory was not complete',
  },
  {
    rule: 'bootstrap-complete',
    when: (v) => v.entry.verb === 'bootstrap',
    kind: 'nothing-to-do',
    effects: [],
    reason: "the first data directory is in place; whether it becomes the cluster's is for the claim to say",
  },
  {
    rule: 'follow-became-primary',
    when: (v) => v.entry.verb === 'follow' && v.lease?.state === 'held' && v.lease.holder === v.entry.node,
    kind: 'nothing-to-do',
    effects: [],
    reason: 'whom it was told to follow is the primary now',
  },
  {
    rule: 'follow-current',
    when: (v) => v.entry.verb === 'follow' && isCurrent(v) && v.target === v.entry.node,
    kind: 'resume',
    effects: ['follow-again'],
    reason: 'the hand-over is under way: this standby stays with its target',
  },
  {
    rule: 'follow-over',
    when: (v) => v.entry.verb === 'follow',
    kind: 'roll-back',
    effects: [],
    reason: 'the hand-over is over: this standby follows the primary again',
  },
  {
    rule: 'promotion-current',
    when: (v) => v.entry.verb === 'acquire-and-promote' && isCurrent(v),
    kind: 'resume',
    effects: ['expect-promotion'],
    reason: 'the operation is under way: its promotion is still to come',
  },
  {
    rule: 'promotion-over',
    when: () => true,
    kind: 'roll-back',
    effects: ['reset-setting'],
    reason: 'the operation is over: nobody expects a promotion here',
  },
];

/** Total: the last row matches always. */
export function decideJournal(view: JournalView): JournalDecision {
  const row = journalTable.find((candidate) => candidate.when(view));
  if (row === undefined) throw new Error('InvariantViolation: the journal table has no row for this entry');
  const { rule, kind, effects, reason } = row;
  return { rule, kind, effects, reason };
}
