/** The journal survives its agent: each step is on disk before the next, and what cannot be read harms nothing (H6). */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, test } from 'vitest';
import { Journal } from '../../agent/journal.ts';
import { InvalidInput } from '../../core/wire/fields.ts';
import { parseJournal } from '../../core/wire/parse-journal.ts';

let folder: string;
let errors: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-journal-'));
  errors = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** As an agent that starts anew sees it. */
const reopened = () => Journal.read(folder, (level, message) => level === 'error' && errors.push(message));
const rebuild = {
  verb: 'rebuild',
  operation: null,
  epoch: 3,
  node: 'node1',
  nonce: '0123abcd',
  replaces: true,
} as const;
const follow = { verb: 'follow', operation: 'c1-e3-a1', epoch: 3, node: 'node2' } as const;

it('is empty on a new host', async () => {
  expect((await reopened()).open()).toEqual([]);
});

it('has an entry, and each of its steps, as soon as the call has ended', async () => {
  const journal = await reopened();
  const id = await journal.begin(rebuild, 'copying');
  expect((await reopened()).open()).toMatchObject([{ ...rebuild, id, steps: [{ step: 'copying' }] }]);
  await journal.note(id, 'copied');
  const [entry] = (await reopened()).open();
  expect(entry?.steps.map(({ step }) => step)).toEqual(['copying', 'copied']);
  expect(entry?.steps[1]?.undo).toBe('put the former data directory back, remove the copy');
});

it('forgets what is closed, and keeps its last ends for people', async () => {
  const journal = await reopened();
  for (let round = 0; round < 25; round += 1)
    await journal.close(await journal.begin(rebuild, 'copying'), `end ${round}`);
  expect((await reopened()).open()).toEqual([]);
  const { closed } = parseJournal(JSON.parse(readFileSync(join(folder, 'journal.json'), 'utf8')));
  expect(closed).toHaveLength(20);
  expect(closed.at(-1)).toMatchObject({ outcome: 'end 24', entry: { verb: 'rebuild' } });
});

it('keeps work of different kinds apart; of one kind the later takes the place of the former', async () => {
  const journal = await reopened();
  await journal.begin(rebuild, 'copying');
  const followed = await journal.begin(follow, 'repointed');
  const rewind = await journal.begin(
    { verb: 'rewind', operation: null, epoch: 3, node: 'node1' },
    'rewinding',
  );
  expect((await reopened()).open().map(({ id }) => id)).toEqual([followed, rewind]);
});

it('is whole after writes that were ordered at once', async () => {
  const journal = await reopened();
  const [one] = await Promise.all([
    journal.begin(follow, 'repointed'),
    journal.begin(rebuild, 'copying'),
    journal.begin(
      { verb: 'acquire-and-promote', operation: 'c1-e3-a1', epoch: 3, node: null },
      'promotion-expected',
    ),
  ]);
  await journal.close(one, 'done');
  expect((await reopened()).open().map(({ verb }) => verb)).toEqual(['rebuild', 'acquire-and-promote']);
  expect(readdirSync(folder)).toEqual(['journal.json']);
});

it.each(['{', '{"open":[{"verb":"format-disk"}],"closed":[]}', '{"open":[]}'])(
  'is set aside and reported where it says %s, and the agent goes on without',
  async (text) => {
    writeFileSync(join(folder, 'journal.json'), text);
    const journal = await reopened();
    expect(journal.open()).toEqual([]);
    expect(errors).toEqual(['the journal cannot be understood']);
    expect(readdirSync(folder)[0]).toMatch(/^journal\.json\.unreadable-/);
    await journal.begin(rebuild, 'copying');
    expect((await reopened()).open()).toHaveLength(1);
  },
);

it('that cannot be written fails a copy, but not what clients wait for', async () => {
  const journal = await reopened();
  rmSync(folder, { recursive: true });
  await expect(journal.begin(rebuild, 'copying')).rejects.toThrow('ENOENT');
  expect(await journal.tryBegin(follow, 'repointed')).toBeNull();
  expect(errors).toEqual(['the journal was not written']);
});

const sound = {
  id: 'x',
  ...rebuild,
  steps: [{ step: 'copying', at: '2026-11-24T20:00:00.000Z', undo: '' }],
};
test.each([
  [{ ...sound, nonce: '../../etc' }, 'open[0].nonce was "../../etc"; it takes eight hexadecimal digits'],
  [{ ...sound, steps: [] }, 'open[0].steps was []; it takes at least one step'],
  [
    { ...sound, steps: [{ step: 'rewound', at: 'x', undo: '' }] },
    'open[0].steps[0].step was "rewound"; it takes one of "copying", "copied"',
  ],
  [{ ...sound, epoch: -1 }, 'open[0].epoch was -1; it takes a whole number of at least 0'],
])('an entry that would make an agent do something else is refused', (entry, message) => {
  expect(() => parseJournal({ open: [entry], closed: [] })).toThrow(InvalidInput);
  expect(() => parseJournal({ open: [entry], closed: [] })).toThrow(message);
});
