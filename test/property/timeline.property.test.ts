// Histories grown by random promotions: `relation` agrees with a model that knows which bytes each node really has.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Lsn, lsnOf } from '../../core/model/lsn.ts';
import {
  FIRST_TIMELINE,
  type HistoryPosition,
  relation,
  type TimelineHistory,
} from '../../core/model/timeline.ts';
import { parseTimelineHistory } from '../../core/wire/parse-history.ts';

/** The model: the timeline that wrote each byte of a node's log, as ranges by end. */
interface Node {
  readonly history: TimelineHistory;
  readonly written: readonly number[];
}

type Step = { readonly node: number; readonly kind: 'write' | 'copy' | 'promote'; readonly amount: number };

const steps = fc.array(
  fc.record({
    node: fc.nat(3),
    kind: fc.constantFrom('write' as const, 'copy' as const, 'promote' as const),
    amount: fc.integer({ min: 1, max: 5 }),
  }),
  { maxLength: 40 },
);

/** Four nodes; each writes on its own timeline, copies a prefix of another's log, or is promoted where it stands. */
function grow(script: readonly Step[]): Node[] {
  const nodes: Node[] = Array.from({ length: 4 }, () => ({ history: FIRST_TIMELINE, written: [1] }));
  // Only one node writes on each timeline: the lease's work. Without it numbers cannot tell branches apart.
  const owner = new Map<number, number>([[1, 0]]);
  let lastTimeline = 1;
  for (const { node: index, kind, amount } of script) {
    const node = nodes[index] ?? expect.fail('no such node');
    if (kind === 'write' && owner.get(node.history.timeline) === index) {
      nodes[index] = { ...node, written: [...node.written, ...Array(amount).fill(node.history.timeline)] };
    } else if (kind === 'promote') {
      lastTimeline += 1;
      owner.set(lastTimeline, index);
      const entry = {
        timeline: node.history.timeline,
        switchLsn: lsnOf(BigInt(node.written.length)),
        reason: '',
      };
      nodes[index] = {
        ...node,
        history: { timeline: lastTimeline, ancestors: [...node.history.ancestors, entry] },
      };
    } else if (kind === 'copy' && owner.get(node.history.timeline) !== index) {
      nodes[index] = nodes[amount % 4] ?? node;
    }
  }
  return nodes;
}

const position = (node: Node): HistoryPosition => ({ history: node.history, lsn: endOf(node) });
const endOf = (node: Node): Lsn => lsnOf(BigInt(node.written.length));
const isPrefix = (a: readonly number[], b: readonly number[]) =>
  a.every((timeline, at) => b[at] === timeline);

test('one node can follow another exactly when all its bytes are a prefix of the other one', () => {
  fc.assert(
    fc.property(steps, (script) => {
      const nodes = grow(script);
      for (const a of nodes) {
        for (const b of nodes) {
          const related = relation(position(a), position(b));
          if (!isPrefix(a.written, b.written) && !isPrefix(b.written, a.written))
            expect(related).toBe('diverged');
          else if (a.written.length < b.written.length) expect(related).toBe('ancestor');
          else if (a.written.length > b.written.length) expect(related).toBe('descendant');
        }
      }
    }),
    { numRuns: 500 },
  );
});

test('the relation turned round is the reverse', () => {
  const reverse = {
    same: 'same',
    ancestor: 'descendant',
    descendant: 'ancestor',
    diverged: 'diverged',
  } as const;
  fc.assert(
    fc.property(steps, (script) => {
      const nodes = grow(script).map(position);
      for (const a of nodes) for (const b of nodes) expect(relation(a, b)).toBe(reverse[relation(b, a)]);
    }),
  );
});

test('a history survives being written as a file', () => {
  fc.assert(
    fc.property(steps, (script) => {
      for (const { history } of grow(script)) {
        const text = history.ancestors
          .map((e) => `${e.timeline}\t0/${e.switchLsn.toString(16)}\t${e.reason}\n`)
          .join('');
        expect(parseTimelineHistory(history.timeline, text)).toEqual({ kind: 'history', history });
      }
    }),
  );
});
