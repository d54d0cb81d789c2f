/**
 * What the stack holds: the table is safe, the functions are told what they need, the documents cannot be made to run anything else,
 * the sentinel comes each minute, and the state machine is the literal file.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { operationId } from '../../core/failover/plan-operation.ts';
import { actionId, actionVerbs } from '../../core/model/operation.ts';
import { definitionFile, substitutions } from '../../infra/failover-machine.ts';
import { parameterPatterns } from '../../infra/host-documents.ts';
import { functionNames } from '../../infra/names.ts';
import { flat, type JsonObject, synthesiseTemplate } from './synthesised.ts';

let template: Awaited<ReturnType<typeof synthesiseTemplate>>;
beforeAll(async () => {
  template = await synthesiseTemplate();
});
afterAll(() => template.remove());

test('the table is kept, recoverable, on demand, and expires events alone', () => {
  const { properties, whole } = template.one('AWS::DynamoDB::GlobalTable');
  expect(whole['DeletionPolicy']).toBe('Retain');
  expect(properties).toMatchObject({
    KeySchema: [
      { AttributeName: 'pk', KeyType: 'HASH' },
      { AttributeName: 'sk', KeyType: 'RANGE' },
    ],
    BillingMode: 'PAY_PER_REQUEST',
    TimeToLiveSpecification: { AttributeName: 'expires_at', Enabled: true },
  });
  // One region: a replicated table judges conditions on a local copy, and the lease needs one truth.
  expect(properties['Replicas']).toMatchObject([
    {
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
      DeletionProtectionEnabled: true,
    },
  ]);
  expect(properties['GlobalSecondaryIndexes']).toMatchObject([
    { IndexName: 'clusters', Projection: { ProjectionType: 'KEYS_ONLY' } },
  ]);
});

const isEachMinute = ({ FunctionName }: JsonObject) => /-(sentinel|certify)$/.test(String(FunctionName));

describe('the functions', () => {
  test('are the seven of the workflow and the rotation, on the newest Node, on arm64, traced but for those of each minute', () => {
    const functions = template.ofType('AWS::Lambda::Function');
    expect(functions.map(({ properties }) => properties['FunctionName']).toSorted()).toEqual(
      [...functionNames, 'rotate'].map((name) => `Leasehold-${name}`).toSorted(),
    );
    for (const { properties } of functions) {
      expect(properties).toMatchObject({
        Runtime: 'nodejs24.x',
        Architectures: ['arm64'],
        ...(isEachMinute(properties) ? {} : { TracingConfig: { Mode: 'Active' } }),
        Environment: {
          Variables: {
            TABLE_NAME: expect.anything(),
            STATE_MACHINE_ARN: expect.anything(),
            RUN_ACTION_DOCUMENT: expect.anything(),
            FENCE_DOCUMENT: expect.anything(),
            NODE_OPTIONS: '--enable-source-maps',
          },
        },
      });
      expect(properties['Handler']).toBe(`${String(properties['FunctionName']).split('-')[1]}.handler`);
    }
  });

  test('keep their logs for a month', () => {
    for (const { properties } of template.ofType('AWS::Logs::LogGroup'))
      expect(properties['RetentionInDays']).toBe(30);
  });

  test('give up before the state that waits for them does', () => {
    const { States } = JSON.parse(readFileSync(definitionFile, 'utf8')) as {
      States: Record<string, JsonObject>;
    };
    const limits = { Initiated: 'begin', ChoosingTarget: 'choose', Stable: 'finish', Aborting: 'abort' };
    for (const [state, name] of Object.entries(limits)) {
      const found = template
        .ofType('AWS::Lambda::Function')
        .find(({ properties }) => properties['FunctionName'] === `Leasehold-${name}`);
      expect(Number(found?.properties['Timeout'])).toBeLessThan(Number(States[state]?.['TimeoutSeconds']));
    }
  });
});

describe('the state machine', () => {
  test('is the literal file, with the functions put in', () => {
    const { properties } = template.one('AWS::StepFunctions::StateMachine');
    expect(properties['DefinitionString']).toBe(readFileSync(definitionFile, 'utf8'));
    const put = properties['DefinitionSubstitutions'] as JsonObject;
    expect(Object.keys(put).toSorted()).toEqual(Object.keys(substitutions).toSorted());
    for (const [key, name] of Object.entries(substitutions)) {
      const id = (put[key] as { 'Fn::GetAtt': readonly string[] })['Fn::GetAtt'][0];
      const found = template.resources.find((resource) => resource.id === id);
      expect(found?.properties['FunctionName']).toBe(`Leasehold-${name}`);
    }
  });

  test('is a standard one, logged and traced, of a name that the functions know beforehand', () => {
    const { properties } = template.one('AWS::StepFunctions::StateMachine');
    expect(properties).toMatchObject({
      StateMachineName: 'Leasehold-failover',
      StateMachineType: 'STANDARD',
      TracingConfiguration: { Enabled: true },
      LoggingConfiguration: { Level: 'ALL' },
    });
    const begin = template.one('AWS::Lambda::Function', 'Begin');
    expect(flat(begin.properties['Environment'] ?? null)).toContain(':stateMachine:Leasehold-failover');
    expect(begin.whole['DependsOn']).not.toContain(template.one('AWS::StepFunctions::StateMachine').id);
  });
});

describe('the documents of Run Command', () => {
  test('are of our own, and every parameter has a pattern', () => {
    const documents = template.ofType('AWS::SSM::Document');
    expect(documents).toHaveLength(3);
    for (const { properties } of documents) {
      const content = properties['Content'] as unknown as {
        schemaVersion: string;
        parameters: Record<string, { allowedPattern: string }>;
        mainSteps: { action: string; inputs: { runCommand: string[] } }[];
      };
      expect(content.schemaVersion).toBe('2.2');
      const script = content.mainSteps.flatMap(({ inputs }) => inputs.runCommand).join('\n');
      for (const [name, { allowedPattern }] of Object.entries(content.parameters)) {
        expect(script).toContain(`'{{ ${name} }}'`);
        for (const evil of ["x'; reboot; '", 'x$(id)', '`id`', 'a b', "'", '\n', 'x\nreboot', '']) {
          expect(new RegExp(allowedPattern).test(evil)).toBe(false);
        }
      }
      // Nothing between braces but what is declared.
      const used = [...script.matchAll(/\{\{ *([A-Za-z0-9]+) *\}\}/g)].map(([, name]) => name);
      expect(used.toSorted()).toEqual(Object.keys(content.parameters).toSorted());
    }
  });

  test('take every action and operation that the workflow makes', () => {
    const takes = (name: keyof typeof parameterPatterns, value: string) =>
      new RegExp(parameterPatterns[name]).test(value);
    for (const verb of actionVerbs) expect(takes('Action', actionId(verb, 'node-1', 12))).toBe(true);
    expect(takes('Operation', operationId({ uid: '01JD0000000000000000000001' }, 7, 3))).toBe(true);
    expect(takes('Epoch', '1')).toBe(true);
    expect(takes('Epoch', '0')).toBe(false);
    expect(takes('Key', 'leasehold/leasehold-agent-0.1.0-0123456789ab-linux-arm64.tar.gz')).toBe(true);
    expect(takes('Key', '--config')).toBe(false);
    expect(takes('Sha256', '0'.repeat(64))).toBe(true);
  });
});

test.each(['Sentinel', 'Certify'])('%s comes each minute, and what it misses is not repeated', (name) => {
  const { properties } = template.one('AWS::Events::Rule', `${name}Schedule`);
  expect(properties).toMatchObject({ ScheduleExpression: 'rate(1 minute)', State: 'ENABLED' });
  expect(flat(properties['Targets'] ?? null)).toContain(name);
  expect(properties['Targets']).toMatchObject([{ RetryPolicy: { MaximumRetryAttempts: 0 } }]);
});

test('the outputs tell hosts and CLI what they are configured with', () => {
  expect(Object.keys(template.outputs)).toEqual(
    expect.arrayContaining([
      'TableName',
      'StateMachineArn',
      'RunActionDocument',
      'FenceDocument',
      'UpgradeDocument',
      'MainDatabaseInstanceProfile',
      'MainProxyInstanceProfile',
    ]),
  );
});
