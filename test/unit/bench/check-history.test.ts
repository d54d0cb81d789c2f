/** The history checker must be able to fail: each kind of bad history is refused, and its good twin is not. */
import { describe, expect, it } from 'vitest';
import { checkLosses } from '../../../bench/history/check-losses.ts';
import { checkRows } from '../../../bench/history/check-rows.ts';
import { checkEpochs, checkTenures } from '../../../bench/history/check-tenures.ts';
import type { AcceptedWrite, Append, Outcome, Row } from '../../../bench/history/history.ts';

/** An append that took 10 ms from `sentMs` on. */
const append = (
  client: number,
  sequence: number,
  sentMs: number,
  outcome: Outcome = 'acknowledged',
): Append => ({
  client,
  sequence,
  dueMs: sentMs,
  sentMs,
  endedMs: sentMs + 10,
  outcome,
});
const row = (client: number, sequence: number, position: number): Row => ({ client, sequence, position });
const rules = (violations: readonly { rule: string }[]) => violations.map(({ rule }) => rule);

const appends = [append(1, 1, 0), append(2, 1, 5), append(1, 2, 20), append(2, 2, 25)];
const rows = [row(1, 1, 1), row(2, 1, 2), row(1, 2, 3), row(2, 2, 4)];

describe('the rows of the final primary', () => {
  it('are right when each acknowledged append is there once, in order', () => {
    expect(checkRows(appends, rows)).toEqual({ lost: [], violations: [] });
  });

  it('are short of an acknowledged append', () => {
    const { lost, violations } = checkRows(appends, rows.slice(0, 3));
    expect(lost).toEqual([append(2, 2, 25)]);
    expect(violations).toEqual([]);
  });

  it('may or may not hold an append whose outcome is unknown', () => {
    const uncertain = [...appends, append(1, 3, 40, 'unknown')];
    expect(checkRows(uncertain, rows)).toEqual({ lost: [], violations: [] });
    expect(checkRows(uncertain, [...rows, row(1, 3, 5)])).toEqual({ lost: [], violations: [] });
  });

  it('hold an append twice', () => {
    expect(rules(checkRows(appends, [...rows, row(2, 2, 5)]).violations)).toEqual(['write-doubled']);
  });

  it('hold an append that was refused', () => {
    const refused = [...appends, append(1, 3, 40, 'failed')];
    expect(rules(checkRows(refused, [...rows, row(1, 3, 5)]).violations)).toEqual(['refused-write-present']);
  });

  it('hold an append that nobody sent', () => {
    expect(rules(checkRows(appends, [...rows, row(7, 1, 5)]).violations)).toEqual(['unsent-write-present']);
  });

  it('have a client in another order than it wrote', () => {
    const swapped = [row(1, 2, 1), row(2, 1, 2), row(1, 1, 3), row(2, 2, 4)];
    expect(rules(checkRows(appends, swapped).violations)).toEqual(['write-out-of-order']);
  });

  it('have an append before one that was acknowledged before it was sent, of another client', () => {
    const swapped = [row(1, 1, 1), row(2, 2, 2), row(2, 1, 3), row(1, 2, 4)];
    expect(rules(checkRows(appends, swapped).violations)).toEqual(['write-out-of-order']);
  });

  it('may have appends in either order that were under way together', () => {
    const swapped = [row(2, 1, 1), row(1, 1, 2), row(2, 2, 3), row(1, 2, 4)];
    expect(checkRows(appends, swapped).violations).toEqual([]);
  });
});

describe('losses', () => {
  const lost = [append(2, 2, 25)];

  it.each(['on', 'strict'] as const)('are never right in mode %s', (mode) => {
    expect(rules(checkLosses(lost, { mode, double: false, discardsReported: 1, handOvers: 1 }))).toEqual([
      'acknowledged-write-lost',
    ]);
  });

  it('are right in mode off only after a failover that reported them', () => {
    const off = { mode: 'off', double: false, discardsReported: 1, handOvers: 1 } as const;
    expect(checkLosses(lost, off)).toEqual([]);
    expect(rules(checkLosses(lost, { ...off, discardsReported: 0 }))).toEqual(['loss-not-reported']);
    expect(rules(checkLosses(lost, { ...off, handOvers: 0 }))).toEqual(['acknowledged-write-lost']);
  });

  it('are right under two faults at once in mode on, and never in strict', () => {
    const double = { double: true, discardsReported: 1, handOvers: 1 } as const;
    expect(checkLosses(lost, { ...double, mode: 'on' })).toEqual([]);
    expect(rules(checkLosses(lost, { ...double, mode: 'on', discardsReported: 0 }))).toEqual([
      'loss-not-reported',
    ]);
    expect(rules(checkLosses(lost, { ...double, mode: 'strict' }))).toEqual(['acknowledged-write-lost']);
  });

  it('that are none need no report', () => {
    expect(checkLosses([], { mode: 'strict', double: false, discardsReported: 0, handOvers: 0 })).toEqual([]);
  });
});

describe('writes that were accepted', () => {
  const write = (node: string, timeline: number, sentMs: number, answeredMs = sentMs + 5): AcceptedWrite => ({
    node,
    timeline,
    sentMs,
    answeredMs,
  });

  it('by one node after the other are right, and by the first one again on a later timeline', () => {
    const history = [
      write('node1', 1, 0),
      write('node1', 1, 50),
      write('node2', 2, 100),
      write('node2', 2, 150),
      write('node1', 3, 200),
      write('node1', 3, 250),
    ];
    expect(checkTenures(history)).toEqual([]);
  });

  it('by one node between two of another are two primaries', () => {
    const history = [write('node1', 1, 0), write('node2', 2, 50), write('node1', 1, 100)];
    expect(rules(checkTenures(history))).toEqual(['two-nodes-accept-writes']);
  });

  it('by two nodes in turns are two primaries', () => {
    const history = [
      write('node1', 1, 0),
      write('node2', 2, 50),
      write('node1', 1, 100),
      write('node2', 2, 150),
    ];
    expect(checkTenures(history)[0]?.message).toContain('for 45 ms');
  });

  it('that were answered late prove nothing: they may have been executed when they were sent', () => {
    const history = [
      write('node1', 1, 0),
      write('node1', 1, 40, 500),
      write('node2', 2, 100),
      write('node2', 2, 450),
    ];
    expect(checkTenures(history)).toEqual([]);
  });

  it('by a host that woke are excused for as long as it is allowed, and no longer', () => {
    const history = [
      write('node1', 1, 0),
      write('node2', 2, 50),
      write('node2', 2, 400),
      write('node1', 1, 300),
    ];
    const woken = { node: 'node1', fromMs: 290 };
    expect(checkTenures(history, [{ ...woken, toMs: 320 }])).toEqual([]);
    expect(rules(checkTenures(history, [{ ...woken, toMs: 300 }]))).toEqual(['two-nodes-accept-writes']);
    expect(rules(checkTenures(history, [{ ...woken, node: 'node3', toMs: 320 }]))).toEqual([
      'two-nodes-accept-writes',
    ]);
  });

  it('by one node on two timelines at once are refused too', () => {
    const history = [write('node1', 1, 0), write('node1', 2, 50), write('node1', 1, 100)];
    expect(rules(checkTenures(history))).toEqual(['two-nodes-accept-writes']);
  });
});

describe('epochs', () => {
  it('rise, each with one holder', () => {
    const seen = [
      { epoch: 1, holder: 'node1' },
      { epoch: 1, holder: 'node1' },
      { epoch: 2, holder: 'node2' },
    ];
    expect(checkEpochs(seen)).toEqual([]);
  });

  it('that go back are refused, and so are two holders of one', () => {
    expect(
      rules(
        checkEpochs([
          { epoch: 2, holder: 'node2' },
          { epoch: 1, holder: 'node1' },
        ]),
      ),
    ).toEqual(['epoch-went-back']);
    expect(
      rules(
        checkEpochs([
          { epoch: 2, holder: 'node2' },
          { epoch: 2, holder: 'node1' },
        ]),
      ),
    ).toEqual(['epoch-with-two-holders']);
  });
});
