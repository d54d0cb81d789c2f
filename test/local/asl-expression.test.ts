// Expressions as AWS evaluates them: its own functions with their corner cases, the time it shows, what may not come out.

import { describe, expect, it } from 'vitest';
import { compileTemplate, evaluateTemplate } from '../../adapters/asl/expression.ts';
import { StateFailure } from '../../adapters/asl/failure.ts';
import type { Json } from '../../adapters/asl/json.ts';
import { START_MS } from './asl-harness.ts';

const scope = {
  states: { input: { list: [1, 2, 3, 4, 5], one: [7], text: 'abc', nothing: null } },
  variables: { v: { a: 1 } },
  nowMs: START_MS,
};
const evaluate = async (template: Json): Promise<Json> =>
  evaluateTemplate(compileTemplate(template, 'Output'), scope);

/** The failure of a template that must fail. */
async function failureOf(
  template: Json,
): Promise<{ error: string | null; cause: string | null; location: string | null }> {
  try {
    await evaluate(template);
  } catch (error) {
    if (error instanceof StateFailure) return { ...error.failure, location: error.location };
    throw error;
  }
  throw new Error('it did not fail');
}

describe('a template', () => {
  it('evaluates its expressions at any depth and leaves everything else alone', async () => {
    const template = {
      plain: '$v',
      list: [1, ['{% $v.a %}'], null],
      deep: { x: { y: '{% $states.input.text & "!" %}' } },
    };
    expect(await evaluate(template)).toEqual({
      plain: '$v',
      list: [1, [1], null],
      deep: { x: { y: 'abc!' } },
    });
    expect(await evaluate('{% /* over\nlines */\n  $v.a\n + 1 %}')).toBe(2);
  });

  it('shares nothing with the values it reads', async () => {
    const result = (await evaluate('{% $v %}')) as { a: number };
    result.a = 2;
    expect(scope.variables.v.a).toBe(1);
  });

  it.each<[string, Json]>([
    ['$partition($states.input.list, 2)', [[1, 2], [3, 4], [5]]],
    ['$partition($states.input.list, 2.9)', [[1, 2], [3, 4], [5]]],
    ['$partition($states.input.one, 3)', [[7]]],
    ['$range(0, 9, 3)', [0, 3, 6, 9]],
    ['$range(3, 0, -2)', [3, 1]],
    ['$range(-1.7, 1, 1)', [-1, 0, 1]],
    ['$range(4, 4, 1)', 4],
    ["$hash('input data', 'SHA-1')", 'aaff4a450a104cd177d28d18d74485e8cae074b7'],
    ["$hash('input data', 'MD5')", '812f45842bc6d66ee14572ce20db8e86'],
    ['$parse(\'{"a": [1, null]}\')', { a: [1, null] }],
    ['$random(7) = $random(7)', true],
    ['$random(7) = $random(8)', false],
    ['$random() < 1 and $random() >= 0', true],
    [
      '$match($uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/) ~> $exists()',
      true,
    ],
    ['$now()', '2026-11-20T10:00:00.000Z'],
    ["$now('[Y0001]/[M01]')", '2026/11'],
    ['$millis()', START_MS],
    ['$states.input.nothing', null],
    ['$exists($states.input.nothing)', true],
    ['$states.input.list[$ > 3]', [4, 5]],
    ['$states.input.list[$ > 4]', 5],
    ['[$states.input.list[$ > 4]]', [5]],
    ['{"gone": $states.input.none, "here": 1}', { here: 1 }],
  ])('evaluates %s', async (source, expected) => {
    expect(await evaluate(`{% ${source} %}`)).toEqual(expected);
  });

  it.each<[string, RegExp]>([
    [
      '$states.input.none',
      /^The JSONata expression '\$states.input.none' specified for the field 'Output' returned nothing \(undefined\)\.$/,
    ],
    ['$partition($states.input.list, 0)', /returned nothing/],
    ['$range(0, 3)', /returned nothing/],
    ['$range(0, 3, -1)', /returned nothing/],
    ["$hash('x')", /returned nothing/],
    ["$hash('x', 'sha-1')", /takes a string and one of MD5, SHA-1/],
    ['$range(1, 360146, 1)', /memory limit exceeded/],
    ["$parse('{')", /threw an error during evaluation/],
    ["$eval('1')", /T1006/],
    ['function($x) { $x }', /returned a function/],
    ['$uuid', /returned a function|no JSON/],
    ['1/0', /a number that JSON cannot express/],
    ["'a' + 1", /T2001/],
    ["$error('own words')", /own words/],
  ])('fails with States.QueryEvaluationError on %s', async (source, cause) => {
    const failure = await failureOf(`{% ${source} %}`);
    expect(failure).toMatchObject({ error: 'States.QueryEvaluationError', location: 'Output' });
    expect(failure.cause).toMatch(cause);
  });

  it('names the place that failed', async () => {
    expect((await failureOf({ a: { b: [1, '{% $none %}'] } })).location).toBe('Output/a/b[1]');
  });
});
