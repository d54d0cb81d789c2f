/**
 * The definition as a graph: every state has an exit, every wait a time-out, every task a way to the compensation, and the errors
 * that states match are errors that steps throw.
 */
import { readFileSync } from 'node:fs';
import validate from 'asl-validator';
import { describe, expect, test } from 'vitest';
import { validateDefinition } from '../../adapters/asl/validate-definition.ts';
import { workflowErrors } from '../../adapters/workflow/workflow-error.ts';
import { failoverStates } from '../../core/model/cluster-record.ts';
import { definitionFile, substitutions } from '../../infra/failover-machine.ts';

interface State {
  readonly Type: string;
  readonly Next?: string;
  readonly Default?: string;
  readonly End?: boolean;
  readonly TimeoutSeconds?: unknown;
  readonly Resource?: string;
  readonly Catch?: readonly { readonly ErrorEquals: readonly string[]; readonly Next: string }[];
  readonly Retry?: readonly { readonly ErrorEquals: readonly string[]; readonly MaxAttempts: number }[];
  readonly Choices?: readonly { readonly Next: string }[];
  readonly ItemProcessor?: { readonly StartAt: string; readonly States: Readonly<Record<string, State>> };
}

const text = readFileSync(definitionFile, 'utf8');
const definition = JSON.parse(text) as {
  StartAt: string;
  States: Record<string, State>;
  TimeoutSeconds: number;
};
const { States: outer } = definition;
const inner = Object.values(outer).flatMap(({ ItemProcessor: processor }) =>
  Object.entries(processor?.States ?? {}),
);
const all: readonly (readonly [string, State])[] = [...Object.entries(outer), ...inner];
const tasks = all.filter(([, { Type }]) => Type === 'Task');

const arn = (name: string) => `arn:aws:lambda:us-east-1:123456789012:function:${name}`;
const put = Object.entries(substitutions).reduce(
  (made, [key, name]) => made.replaceAll(`\${${key}}`, arn(name)),
  text,
);

const exits = ({ Next, Default, Catch = [], Choices = [] }: State): readonly string[] =>
  [Next, Default, ...Catch.map((one) => one.Next), ...Choices.map((one) => one.Next)].filter(
    (one) => one !== undefined,
  );

/** Every state that can follow, however far. */
function reachable(from: string): ReadonlySet<string> {
  const seen = new Set([from]);
  for (const name of seen) for (const next of exits(outer[name] as State)) seen.add(next);
  return seen;
}

test('is valid, for the interpreter that runs it here and for a validator that is not ours', () => {
  expect(validateDefinition(put)).toEqual([]);
  expect(validate(JSON.parse(put))).toMatchObject({ isValid: true });
});

test('every substitution is used, and each is made', () => {
  const used = [...text.matchAll(/\$\{([A-Za-z]+)\}/g)].map(([, key]) => key);
  expect([...new Set(used)].toSorted()).toEqual(Object.keys(substitutions).toSorted());
});

test('has the states that operators know', () => {
  expect(Object.keys(outer)).toEqual(
    expect.arrayContaining([
      'Initiated',
      'WaitingForCatchup',
      'DemotingOldPrimary',
      'PromotingNewPrimary',
      'ReconfiguringReplicas',
      'Stable',
    ]),
  );
});

test.each(Object.keys(outer))('%s has a way to an end', (name) => {
  const ends = [...reachable(name)].filter((one) => {
    const { Type, End } = outer[one] as State;
    return End === true || Type === 'Succeed' || Type === 'Fail';
  });
  expect(ends.length).toBeGreaterThan(0);
});

test('every state can be reached', () => {
  expect([...reachable(definition.StartAt)].toSorted()).toEqual(Object.keys(outer).toSorted());
});

describe('every task', () => {
  test.each(tasks)(
    '%s has a time-out, bounded retries for the store and for a function that was killed, and catches everything',
    (_name, task) => {
      expect(task.TimeoutSeconds).toBeDefined();
      const [retry] = task.Retry ?? [];
      expect(retry?.ErrorEquals).toEqual(expect.arrayContaining(['StoreUnreachable', 'StoreThrottled']));
      expect(retry?.ErrorEquals).toEqual(expect.arrayContaining(['Runtime.ExitError', 'Lambda.Unknown']));
      expect(retry?.ErrorEquals).not.toContain('States.ALL');
      expect(retry?.MaxAttempts).toBeLessThanOrEqual(6);
      expect(task.Catch?.at(-1)?.ErrorEquals).toEqual(['States.ALL']);
    },
  );

  test.each(Object.entries(outer).filter(([, { Type }]) => Type === 'Task' || Type === 'Map'))(
    '%s leads to the compensation when it fails',
    (name, { Catch: catches = [] }) => {
      const last = catches.at(-1)?.Next ?? '';
      if (name === 'Aborting') expect(last).toBe('AbortFailed');
      else expect([...reachable(last)]).toContain('Aborting');
    },
  );

  test('that has claimed the operation ends at once when another has taken its place', () => {
    const later = ['DemotingOldPrimary', 'ChoosingTarget', 'PromotingNewPrimary', 'Stable', 'Aborting'];
    for (const name of later) {
      expect(outer[name]?.Catch?.[0]).toMatchObject({
        ErrorEquals: ['OperationSuperseded'],
        Next: 'Superseded',
      });
    }
  });
});

test('every error that a state matches is one that a step throws', () => {
  const matched = new Set(
    all.flatMap(([, { Catch = [], Retry = [] }]) =>
      [...Catch, ...Retry].flatMap(({ ErrorEquals }) => ErrorEquals),
    ),
  );
  const ours = [...matched].filter((error) => !/^(States|Lambda|Runtime)\./.test(error));
  expect(
    ours.filter((error) => error !== 'InvalidInput' && !workflowErrors.some((known) => known === error)),
  ).toEqual([]);
});

test('a refused request touches nothing: no state that writes follows', () => {
  expect([...reachable('Refused')]).toEqual(['Refused']);
});

test('every step that is written into the record is one of the model', () => {
  const steps = [...text.matchAll(/"step": "([a-z_]+)"/g)].map(([, step]) => step);
  expect(steps.length).toBeGreaterThanOrEqual(3);
  for (const step of steps) expect(failoverStates).toContain(step);
});
