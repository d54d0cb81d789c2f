/** What the CLI makes of an execution's history: steps with durations, and the cause of a failure in words. */
import type { HistoryEvent } from '@aws-sdk/client-sfn';
import { describe, expect, it } from 'vitest';
import { finishedSteps, readableCause } from '../../cli/follow-execution.ts';

const at = (ms: number) => new Date(1_700_000_000_000 + ms);

function entered(name: string, ms: number): HistoryEvent {
  return {
    id: ms,
    type: 'TaskStateEntered',
    timestamp: at(ms),
    stateEnteredEventDetails: { name },
  };
}

const started: HistoryEvent = { id: 1, type: 'ExecutionStarted', timestamp: at(0) };

describe('the steps of an execution', () => {
  it('last from their entry to the entry of the next', () => {
    const events = [
      started,
      entered('Initiated', 5),
      entered('WaitingForCatchup', 105),
      entered('Stable', 300),
    ];
    expect(finishedSteps(events)).toEqual([
      { step: 'Initiated', ms: 100 },
      { step: 'WaitingForCatchup', ms: 195 },
    ]);
  });

  it('leave out what happens inside a Map and the choices between them', () => {
    const events = [
      started,
      entered('WaitingForCatchup', 0),
      entered('OrderCatchup', 10),
      entered('CaughtUp', 90),
      entered('DemotingOldPrimary', 100),
    ];
    expect(finishedSteps(events)).toEqual([{ step: 'WaitingForCatchup', ms: 100 }]);
  });

  it.each(['ExecutionSucceeded', 'ExecutionFailed', 'ExecutionAborted', 'ExecutionTimedOut'] as const)(
    'are all over with %s',
    (type) => {
      const events = [started, entered('Stable', 40), { id: 9, type, timestamp: at(45) }];
      expect(finishedSteps(events)).toEqual([{ step: 'Stable', ms: 5 }]);
    },
  );

  it('count a step again that was entered again', () => {
    const events = [
      entered('ChoosingTarget', 0),
      entered('PromotingNewPrimary', 10),
      entered('ChoosingTarget', 30),
    ];
    expect(finishedSteps(events)).toEqual([
      { step: 'ChoosingTarget', ms: 10 },
      { step: 'PromotingNewPrimary', ms: 20 },
    ]);
  });
});

describe('the cause of a failure', () => {
  it("is the message of a Lambda's error", () => {
    const cause = JSON.stringify({
      errorType: 'UnknownTarget',
      errorMessage: 'nope is no member',
      trace: [],
    });
    expect(readableCause(cause)).toBe('nope is no member');
  });

  it('is found inside quoted JSON', () => {
    const inner = JSON.stringify({ errorMessage: 'the target lags' });
    expect(readableCause(JSON.stringify(inner))).toBe('the target lags');
    expect(readableCause(JSON.stringify({ cause: inner }))).toBe('the target lags');
  });

  it.each(['plain words', '', '{"ok":false}', '17'])('is left as it is: %s', (cause) => {
    expect(readableCause(cause)).toBe(cause);
  });
});
