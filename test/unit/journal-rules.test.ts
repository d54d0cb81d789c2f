/** One story for every row of the journal's table, an executor for every effect, and what must never be done (H6, H3). */
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { journalEffects } from '../../agent/database/resume-journal.ts';
import {
  decideJournal,
  type JournalEntry,
  type JournalStepName,
  type JournalVerb,
  type JournalView,
  journalTable,
  stepsOf,
  undoOf,
} from '../../core/host/journal-rules.ts';

const operation = 'c1-e1-a1';

function entry(verb: JournalVerb, step: JournalStepName, change: Partial<JournalEntry> = {}): JournalEntry {
  const steps = stepsOf[verb].slice(0, stepsOf[verb].indexOf(step) + 1);
  return {
    id: 'x',
    verb,
    operation: verb === 'follow' || verb === 'acquire-and-promote' ? operation : null,
    epoch: 2,
    node: 'node2',
    nonce: '0123abcd',
    replaces: verb === 'rebuild',
    steps: steps.map((name) => ({ step: name, at: '2026-11-24T20:00:00.000Z', undo: undoOf[name] })),
    ...change,
  };
}

function view(made: JournalEntry, change: Partial<JournalView> = {}): JournalView {
  return {
    node: 'node3',
    entry: made,
    currentOperation: null,
    target: null,
    lease: { holder: 'node2', epoch: 2, state: 'held' },
    dataDirectory: 'present',
    copyThere: false,
    keptThere: false,
    ...change,
  };
}

const mine = { lease: { holder: 'node3', epoch: 2, state: 'held' } } as const;
const current = {
  currentOperation: operation,
  target: 'node2',
  lease: { holder: 'node1', epoch: 2, state: 'held' },
} as const;
const over = { lease: { holder: 'node1', epoch: 2, state: 'held' } } as const;

const stories: readonly (readonly [rule: string, kind: string, effects: string, view: JournalView])[] = [
  ['copy-cut', 'roll-back', 'end-programs remove-copy', view(entry('clone', 'copying'), { copyThere: true })],
  [
    'copy-cut',
    'roll-back',
    'end-programs remove-copy',
    view(entry('rebuild', 'copying'), { copyThere: true }),
  ],
  [
    'copy-complete',
    'resume',
    'end-programs end-servers put-in-place adopt-data',
    view(entry('rebuild', 'copied'), { copyThere: true }),
  ],
  [
    'copy-complete',
    'resume',
    'end-programs end-servers put-in-place adopt-data',
    view(entry('rebuild', 'copied'), { copyThere: true, keptThere: true, dataDirectory: 'absent' }),
  ],
  ['copy-in-place', 'resume', 'adopt-data', view(entry('rebuild', 'copied'), { keptThere: true })],
  [
    'copy-in-place',
    'resume',
    'adopt-data',
    view(entry('rebuild', 'copied'), { keptThere: true, dataDirectory: 'quarantined' }),
  ],
  ['copy-in-place', 'resume', 'adopt-data', view(entry('clone', 'copied'))],
  [
    'copy-unwanted',
    'roll-back',
    'end-programs remove-copy',
    view(entry('rebuild', 'copied'), { copyThere: true, ...mine }),
  ],
  [
    'copy-unwanted',
    'roll-back',
    'end-programs remove-copy',
    view(entry('rebuild', 'copied', { epoch: 3 }), { copyThere: true }),
  ],
  [
    'copy-unwanted-set-aside',
    'roll-back',
    'end-programs put-back remove-copy',
    view(entry('rebuild', 'copied'), { copyThere: true, keptThere: true, dataDirectory: 'absent', ...mine }),
  ],
  [
    'copy-lost',
    'roll-back',
    'put-back',
    view(entry('rebuild', 'copied'), { keptThere: true, dataDirectory: 'absent' }),
  ],
  ['copy-nowhere', 'nothing-to-do', '', view(entry('rebuild', 'copied'))],
  ['copy-nowhere', 'nothing-to-do', '', view(entry('rebuild', 'copied'), { dataDirectory: 'quarantined' })],
  ['rewind-not-mine', 'nothing-to-do', '', view(entry('rewind', 'rewinding'), mine)],
  ['rewind-complete', 'resume', 'end-programs adopt-data', view(entry('rewind', 'rewound'))],
  [
    'rewind-complete',
    'resume',
    'end-programs adopt-data',
    view(entry('rewind', 'rewound'), { dataDirectory: 'quarantined' }),
  ],
  [
    'rewind-cut',
    'roll-back',
    'end-programs',
    view(entry('rewind', 'rewinding'), { dataDirectory: 'quarantined' }),
  ],
  ['rewind-untouched', 'roll-back', 'end-programs end-servers', view(entry('rewind', 'rewinding'))],
  [
    'bootstrap-cut',
    'roll-back',
    'end-programs remove-copy',
    view(entry('bootstrap', 'initialising'), { dataDirectory: 'absent', lease: null }),
  ],
  ['bootstrap-complete', 'nothing-to-do', '', view(entry('bootstrap', 'initialising'), { lease: null })],
  ['follow-became-primary', 'nothing-to-do', '', view(entry('follow', 'repointed'))],
  ['follow-current', 'resume', 'follow-again', view(entry('follow', 'repointed'), current)],
  ['follow-over', 'roll-back', '', view(entry('follow', 'repointed'), over)],
  ['follow-over', 'roll-back', '', view(entry('follow', 'repointed'), { ...current, target: null })],
  [
    'promotion-current',
    'resume',
    'expect-promotion',
    view(entry('acquire-and-promote', 'promotion-expected'), current),
  ],
  [
    'promotion-over',
    'roll-back',
    'reset-setting',
    view(entry('acquire-and-promote', 'promotion-expected'), over),
  ],
];

describe('the table of the journal', () => {
  it.each(stories)('%s: %s %s', (rule, kind, effects, seen) => {
    const decision = decideJournal(seen);
    expect(decision).toMatchObject({ rule, kind });
    expect(decision.effects.join(' ')).toBe(effects);
  });

  it('has a story for each of its rows', () => {
    expect([...new Set(stories.map(([rule]) => rule))].toSorted()).toEqual(
      journalTable.map(({ rule }) => rule).toSorted(),
    );
  });

  it('orders only what has an executor, and every executor is ordered somewhere', () => {
    const ordered = new Set(journalTable.flatMap(({ effects }) => effects));
    expect([...ordered].toSorted()).toEqual(Object.keys(journalEffects).toSorted());
  });
});

const anyEntry = fc
  .constantFrom(...(Object.keys(stepsOf) as JournalVerb[]))
  .chain((verb) =>
    fc.tuple(
      fc.constant(verb),
      fc.constantFrom(...stepsOf[verb]),
      fc.boolean(),
      fc.integer({ min: 1, max: 3 }),
    ),
  )
  .map(([verb, step, replaces, epoch]) => entry(verb, step, { replaces, epoch }));
const anyView = fc
  .record({
    made: anyEntry,
    holder: fc.constantFrom('node1', 'node2', 'node3'),
    state: fc.constantFrom('held' as const, 'released' as const, 'sealed' as const, 'fenced' as const),
    hasLease: fc.boolean(),
    currentOperation: fc.constantFrom(null, operation, 'c1-e2-a2'),
    target: fc.constantFrom(null, 'node2', 'node3'),
    dataDirectory: fc.constantFrom(
      'absent' as const,
      'present' as const,
      'quarantined' as const,
      'foreign' as const,
    ),
    copyThere: fc.boolean(),
    keptThere: fc.boolean(),
  })
  .map(({ made, holder, state, hasLease, ...seen }) =>
    view(made, { ...seen, lease: hasLease ? { holder, epoch: 2, state } : null }),
  );

test('whatever is seen: no server of the holder is ended, no quarantine of a half rewound directory lifted, nothing lost', () => {
  fc.assert(
    fc.property(anyView, (seen) => {
      const { effects } = decideJournal(seen);
      const holds = seen.lease?.state === 'held' && seen.lease.holder === seen.node;
      if (holds) {
        expect(effects).not.toContain('end-servers');
        expect(effects).not.toContain('put-in-place');
      }
      if (effects.includes('adopt-data')) {
        // What lies there afterwards is a whole copy, or a whole rewind.
        const step = seen.entry.steps.at(-1)?.step;
        expect(['copied', 'rewound']).toContain(step);
        const inPlace = effects.includes('put-in-place') || !seen.entry.replaces || seen.keptThere;
        if (step === 'copied') expect(inPlace).toBe(true);
        expect(seen.entry.epoch).toBeLessThanOrEqual(seen.lease?.epoch ?? Number.POSITIVE_INFINITY);
      }
      if (effects.includes('put-in-place')) expect(seen.copyThere).toBe(true);
      if (effects.includes('put-back')) {
        expect(seen.dataDirectory).toBe('absent');
        expect(seen.keptThere).toBe(true);
      }
    }),
  );
});
