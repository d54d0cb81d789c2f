/** The evaluator that the attacks are judged by: IAM's rules, one by one, because a lenient judge would refuse nothing. */
import { describe, expect, test } from 'vitest';
import { evaluateIam, type IamRequest, type Statement } from '../support/iam-evaluate.ts';

const allow = (rest: Partial<Statement>): Statement => ({
  Effect: 'Allow',
  Action: 's:Do',
  Resource: '*',
  ...rest,
});
const request = (keys: Record<string, string | readonly string[]> = {}, arn = 'arn:a'): IamRequest => ({
  action: 's:Do',
  resources: [{ arn, keys }],
});
const when = (condition: Statement['Condition'], keys: Record<string, string | readonly string[]>) =>
  evaluateIam([allow({ Condition: condition ?? {} })], request(keys)) === 'allowed';

describe('a request', () => {
  test('needs one Allow, and no Deny', () => {
    const deny = allow({ Effect: 'Deny', Resource: 'arn:a' });
    expect(evaluateIam([], request())).toBe('not-allowed');
    expect(evaluateIam([allow({})], request())).toBe('allowed');
    expect(evaluateIam([allow({}), deny], request())).toBe('denied');
    expect(evaluateIam([allow({}), deny], request({}, 'arn:b'))).toBe('allowed');
  });

  test('needs the action, whose case does not matter and which may have wildcards', () => {
    expect(evaluateIam([allow({ Action: 's:do' })], request())).toBe('allowed');
    expect(evaluateIam([allow({ Action: ['t:*', 's:D?'] })], request())).toBe('allowed');
    expect(evaluateIam([allow({ Action: 's:Don' })], request())).toBe('not-allowed');
    expect(evaluateIam([allow({ Action: 's.Do' })], request())).toBe('not-allowed');
  });

  test('needs each of its resources', () => {
    const both = { action: 's:Do', resources: [{ arn: 'arn:a' }, { arn: 'arn:b' }] };
    expect(evaluateIam([allow({ Resource: 'arn:a' })], both)).toBe('not-allowed');
    expect(evaluateIam([allow({ Resource: 'arn:a' }), allow({ Resource: 'arn:b' })], both)).toBe('allowed');
    expect(evaluateIam([allow({ Resource: 'arn:?' })], both)).toBe('allowed');
    expect(evaluateIam([allow({ Resource: 'ARN:*' })], both)).toBe('not-allowed');
  });

  test('is outside of NotResource', () => {
    const others = [allow({}), { Effect: 'Deny' as const, Action: 's:Do', NotResource: 'arn:mine/*' }];
    expect(evaluateIam(others, request({}, 'arn:mine/x'))).toBe('allowed');
    expect(evaluateIam(others, request({}, 'arn:theirs'))).toBe('denied');
  });
});

describe('a condition', () => {
  test('compares one value with any of the wanted ones, case and wildcards by its operator', () => {
    expect(when({ StringEquals: { k: ['a', 'b'] } }, { K: 'b' })).toBe(true);
    expect(when({ StringEquals: { k: 'a*' } }, { k: 'ab' })).toBe(false);
    expect(when({ StringLike: { k: 'a*' } }, { k: 'ab' })).toBe(true);
    expect(when({ StringLike: { k: '?*' } }, { k: '' })).toBe(false);
    expect(when({ StringEqualsIgnoreCase: { k: 'Ab' } }, { k: 'aB' })).toBe(true);
    expect(when({ StringEquals: { k: 'Ab' } }, { k: 'aB' })).toBe(false);
  });

  test('does not hold without the key, but with IfExists', () => {
    expect(when({ StringLike: { k: '*' } }, {})).toBe(false);
    expect(when({ StringLikeIfExists: { k: 'x' } }, {})).toBe(true);
    expect(when({ StringLikeIfExists: { k: 'x' } }, { k: 'y' })).toBe(false);
  });

  test('of ForAllValues wants every value to match, and holds for none at all', () => {
    const all = { 'ForAllValues:StringLike': { k: ['a*', 'b'] } };
    expect(when(all, { k: ['ab', 'b'] })).toBe(true);
    expect(when(all, { k: ['ab', 'c'] })).toBe(false);
    expect(when(all, { k: [] })).toBe(true);
    expect(when(all, {})).toBe(true);
  });

  test('of ForAnyValue wants one value to match, and does not hold for none at all', () => {
    const any = { 'ForAnyValue:StringEquals': { k: 'a' } };
    expect(when(any, { k: ['b', 'a'] })).toBe(true);
    expect(when(any, { k: ['b'] })).toBe(false);
    expect(when(any, {})).toBe(false);
  });

  test('of Null asks whether the key is there with a value', () => {
    expect(when({ Null: { k: 'false' } }, { k: 'a' })).toBe(true);
    expect(when({ Null: { k: 'false' } }, {})).toBe(false);
    expect(when({ Null: { k: 'false' } }, { k: [] })).toBe(false);
    expect(when({ Null: { k: 'true' } }, {})).toBe(true);
  });

  test('has to hold for every operator and every key', () => {
    const two = { StringEquals: { k: 'a', l: 'b' }, Null: { m: 'true' } };
    expect(when(two, { k: 'a', l: 'b' })).toBe(true);
    expect(when(two, { k: 'a', l: 'c' })).toBe(false);
    expect(when(two, { k: 'a', l: 'b', m: 'x' })).toBe(false);
  });
});

test('what is not known is an error, and never passed over', () => {
  expect(() => when({ StringNotEquals: { k: 'a' } }, {})).toThrow('StringNotEquals');
  expect(() => when({ 'ForNoValue:StringEquals': { k: 'a' } }, {})).toThrow('ForNoValue');
  expect(() => when({ StringEquals: { k: 'a' } }, { k: ['a', 'b'] })).toThrow('ForAllValues or ForAnyValue');
  expect(() => evaluateIam([{ ...allow({}), NotAction: 'x' } as Statement], request())).toThrow('NotAction');
  expect(() => evaluateIam([], { action: 's:Do', resources: [] })).toThrow('at least one resource');
});
