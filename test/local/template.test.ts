/**
 * What is read from a synthesised template: every reference resolved as CloudFormation would, deterministic names, and an error
 * for whatever is not known.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readStack, type Stack, type StackOptions } from '../../local/aws/template.ts';
import { type Assembly, documentContent, synthesise } from './fixtures/synthesise.ts';

let assembly: Assembly;
let folder: string;

beforeAll(() => {
  assembly = synthesise();
  folder = mkdtempSync(join(tmpdir(), 'leasehold-template-'));
});

afterAll(() => {
  assembly?.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** A stack written by hand, whose state machine's definition shows what `value` resolves to. */
function stackWith(value: unknown, template: object = {}, options: Partial<StackOptions> = {}): Stack {
  const machine = { Type: 'AWS::StepFunctions::StateMachine', Properties: { Definition: { value } } };
  const { Resources, ...rest } = template as { Resources?: object };
  const content = { Resources: { Machine: machine, ...Resources }, ...rest };
  writeFileSync(join(folder, 'Hand.template.json'), JSON.stringify(content));
  writeFileSync(join(folder, 'Hand.assets.json'), JSON.stringify({ files: {} }));
  return readStack({ assemblyFolder: folder, stackName: 'Hand', ...options });
}

const resolved = (value: unknown, template: object = {}, options: Partial<StackOptions> = {}) =>
  (JSON.parse(stackWith(value, template, options).stateMachines[0]?.definition ?? '{}') as { value: unknown })
    .value;

describe('the stack that CDK synthesised', () => {
  test('gives the table, the functions, the state machine, the document and the schedule', () => {
    const stack = readStack({ assemblyFolder: assembly.folder, stackName: 'Probe' });
    expect(stack.tables.map(({ ttlAttribute }) => ttlAttribute)).toEqual(['expires_at']);
    expect(stack.functions.map(({ timeoutMs, memoryMb }) => [timeoutMs, memoryMb])).toEqual([
      [2000, 256],
      [2000, 256],
    ]);
    const [common] = stack.functions;
    expect(common?.environment['TABLE_ARN']).toBe(
      `arn:aws:dynamodb:us-east-1:000000000000:table/${stack.tables[0]?.name}`,
    );
    expect(stack.stateMachines[0]?.definition).toContain(`"FunctionName":"${common?.arn}"`);
    expect(stack.documents[0]?.content).toEqual(documentContent);
    expect(stack.schedules).toMatchObject([
      {
        expression: 'rate(1 minute)',
        enabled: true,
        targets: [{ arn: common?.arn, input: '{"do":"count"}' }],
      },
    ]);
    expect(stack.output('MachineArn')).toBe(stack.stateMachines[0]?.arn);
  });

  test('lists what is not played, and names everything the same each time', () => {
    const read = () => readStack({ assemblyFolder: assembly.folder, stackName: 'Probe' });
    expect(new Set(read().others.map(({ type }) => type))).toEqual(
      new Set(['AWS::IAM::Role', 'AWS::IAM::Policy', 'AWS::Lambda::Permission']),
    );
    expect(JSON.stringify(read())).toBe(JSON.stringify(read()));
  });
});

describe('an intrinsic', () => {
  const conditions = { Conditions: { Here: { 'Fn::Equals': [{ Ref: 'AWS::Region' }, 'us-east-1'] } } };

  test.each<[string, unknown, unknown]>([
    ['Ref to a pseudo parameter', { Ref: 'AWS::AccountId' }, '000000000000'],
    ['Fn::Join', { 'Fn::Join': ['-', ['a', { Ref: 'AWS::Region' }]] }, 'a-us-east-1'],
    ['Fn::Sub', { 'Fn::Sub': '${AWS::Partition}:${!Kept}' }, 'aws:${Kept}'],
    [
      'Fn::Sub with variables',
      { 'Fn::Sub': ['${a}/${AWS::StackName}', { a: { Ref: 'AWS::Region' } }] },
      'us-east-1/Hand',
    ],
    ['Fn::Select of Fn::Split', { 'Fn::Select': [1, { 'Fn::Split': ['/', 'x/y/z'] }] }, 'y'],
    ['Fn::GetAZs', { 'Fn::Select': ['2', { 'Fn::GetAZs': '' }] }, 'us-east-1c'],
    ['Fn::If', { 'Fn::If': ['Here', 'yes', 'no'] }, 'yes'],
    ['Fn::If of Fn::Not', { 'Fn::If': ['Elsewhere', 'yes', 'no'] }, 'no'],
    ['Fn::Sub of an attribute', { 'Fn::Sub': '${Machine.Name}' }, 'Hand-Machine'],
  ])('%s', (_, value, expected) => {
    const Conditions = { ...conditions.Conditions, Elsewhere: { 'Fn::Not': [{ Condition: 'Here' }] } };
    expect(resolved(value, { Conditions })).toEqual(expected);
  });

  test.each<[string, unknown, RegExp]>([
    ['an unknown function', { 'Fn::ImportValue': 'x' }, /Fn::ImportValue is not known/],
    ['an unknown resource', { Ref: 'Nothing' }, /no resource or parameter Nothing/],
    ['an unknown pseudo parameter', { Ref: 'AWS::Moon' }, /AWS::Moon is not known/],
    ['an unknown attribute', { 'Fn::GetAtt': ['Machine', 'Color'] }, /attribute Color of Machine/],
    ['a reference to a type without a name', { Ref: 'Odd' }, /AWS::Odd::Thing is not known/],
    ['an unknown condition', { 'Fn::If': ['Missing', 1, 2] }, /no condition Missing/],
  ])('%s is an error that names it and the resource', (_, value, message) => {
    const attempt = () => resolved(value, { Resources: { Odd: { Type: 'AWS::Odd::Thing' } } });
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(/^Machine \(AWS::StepFunctions::StateMachine\): /);
  });
});

describe('a name', () => {
  test('is the one of the template, or made of stack and logical id', () => {
    const Resources = {
      Named: {
        Type: 'AWS::DynamoDB::Table',
        Properties: { TableName: { 'Fn::Sub': '${AWS::StackName}-mine' } },
      },
      Alias: { Type: 'AWS::Lambda::Alias', Properties: { Name: 'live', FunctionName: { Ref: 'Role' } } },
      Role: { Type: 'AWS::IAM::Role' },
    };
    const Parameters = {
      Given: { Type: 'String', Default: 'd' },
      Other: { Type: 'String', Default: 'its default' },
    };
    const value = (name: string) =>
      resolved({ Ref: name }, { Resources, Parameters }, { parameters: { Given: 'from the caller' } });
    expect(value('Named')).toBe('Hand-mine');
    expect(value('Role')).toBe('Hand-Role');
    expect(value('Alias')).toBe('arn:aws:lambda:us-east-1:000000000000:function:Hand-Role:live');
    expect(value('Given')).toBe('from the caller');
    expect(value('Other')).toBe('its default');
  });

  test('that is too long for its type is shortened, and still differs from its neighbour', () => {
    const [first, second] = ['A', 'B'].map((last) => {
      const name = 'L'.repeat(80) + last;
      return resolved({ Ref: name }, { Resources: { [name]: { Type: 'AWS::IAM::Role' } } });
    });
    expect(first).toMatch(/^Hand-L{50}-[0-9a-f]{8}$/);
    expect(second).not.toBe(first);
  });

  test('can be given by the runtime that knows the real one', () => {
    const Resources = { Host: { Type: 'AWS::EC2::Instance' } };
    const physical = { Host: 'i-0123456789abcdef0', 'Host.PrivateIp': '10.0.0.7' };
    expect(resolved({ Ref: 'Host' }, { Resources }, { physical })).toBe('i-0123456789abcdef0');
    expect(resolved({ 'Fn::GetAtt': ['Host', 'PrivateIp'] }, { Resources }, { physical })).toBe('10.0.0.7');
    expect(() => resolved({ 'Fn::GetAtt': ['Host', 'PrivateIp'] }, { Resources })).toThrow(
      /PrivateIp of Host/,
    );
  });
});

test('a property or an element that has no value is left out', () => {
  const nothing = { Ref: 'AWS::NoValue' };
  const Content = { kept: 1, dropped: nothing, list: [1, nothing, 2] };
  const Resources = { Document: { Type: 'AWS::SSM::Document', Properties: { Content } } };
  expect(stackWith('', { Resources }).documents[0]?.content).toStrictEqual({ kept: 1, list: [1, 2] });
});

test('definition substitutions are made as CloudFormation makes them, literally', () => {
  const Resources = {
    Machine: {
      Type: 'AWS::StepFunctions::StateMachine',
      Properties: {
        DefinitionString: '{"Arn":"${Arn}","Seconds":${Seconds},"Left":"${Left}"}',
        DefinitionSubstitutions: { Arn: { 'Fn::Sub': 'arn:${AWS::Region}' }, Seconds: 30 },
      },
    },
  };
  const definition = stackWith('', { Resources }).stateMachines[0]?.definition ?? '';
  expect(JSON.parse(definition)).toEqual({ Arn: 'arn:us-east-1', Seconds: 30, Left: '${Left}' });
});
