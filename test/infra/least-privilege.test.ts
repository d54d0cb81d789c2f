/**
 * Who may do what. Every statement of the template is looked at: no wildcard without a reason that is named here, and no class of
 * writers reaches the items of another.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { functionNames } from '../../infra/names.ts';
import {
  actionsOf,
  flat,
  type JsonObject,
  type Resource,
  type Statement,
  statementsOf,
  synthesiseTemplate,
} from './synthesised.ts';

let template: Awaited<ReturnType<typeof synthesiseTemplate>>;
beforeAll(async () => {
  template = await synthesiseTemplate();
});
afterAll(() => template.remove());

const policies = () => [
  ...template.ofType('AWS::IAM::Policy'),
  ...template.ofType('AWS::IAM::ManagedPolicy'),
];
const policyOf = (part: string) => {
  const found = policies().filter(({ id }) => id.includes(part));
  expect(found).toHaveLength(1);
  return statementsOf(found[0] as Resource);
};
const functionPolicy = (name: string) =>
  policyOf(`Functions${name.charAt(0).toUpperCase()}${name.slice(1)}Role`);
const may = (statements: readonly Statement[], action: string) =>
  statements.filter((one) => one.Effect === 'Allow' && actionsOf(one).includes(action));

/** Actions that AWS offers under no narrower resource, or whose conditions narrow them instead. */
const unscoped: Readonly<Record<string, string>> = {
  'xray:PutTraceSegments': 'X-Ray has no resources',
  'xray:PutTelemetryRecords': 'X-Ray has no resources',
  'xray:GetSamplingRules': 'X-Ray has no resources',
  'xray:GetSamplingTargets': 'X-Ray has no resources',
  'ssm:GetCommandInvocation': 'no resource type in IAM',
  'ec2:DescribeInstances': 'no resource type in IAM',
  'logs:CreateLogDelivery': 'log delivery has no resources',
  'logs:GetLogDelivery': 'log delivery has no resources',
  'logs:UpdateLogDelivery': 'log delivery has no resources',
  'logs:DeleteLogDelivery': 'log delivery has no resources',
  'logs:ListLogDeliveries': 'log delivery has no resources',
  'logs:PutResourcePolicy': 'log delivery has no resources',
  'logs:DescribeResourcePolicies': 'log delivery has no resources',
  'logs:DescribeLogGroups': 'log delivery has no resources',
};

test('no statement has all resources without a reason, and none a wildcard action', () => {
  expect(policies().length).toBeGreaterThanOrEqual(functionNames.length + 3);
  for (const policy of policies()) {
    for (const statement of statementsOf(policy)) {
      for (const action of actionsOf(statement)) {
        expect(action).not.toContain('*');
        if (statement.Resource === '*')
          expect(Object.keys(unscoped), `${policy.id}: ${action}`).toContain(action);
      }
    }
  }
});

describe('the functions', () => {
  test.each(functionNames.filter((name) => name !== 'certify'))(
    '%s reaches only items of clusters, and never writes what hosts say of themselves',
    (name) => {
      const statements = functionPolicy(name);
      for (const action of ['dynamodb:UpdateItem', 'dynamodb:PutItem', 'dynamodb:Query']) {
        const allowed = may(statements, action);
        expect(allowed).toHaveLength(1);
        expect(allowed[0]?.Condition).toEqual({
          'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['cluster#*'] },
          Null: { 'dynamodb:LeadingKeys': 'false' },
        });
      }
      const denied = statements.filter(({ Sid }) => Sid === 'ReportsAreTheHosts');
      expect(denied[0]?.Effect).toBe('Deny');
      expect(denied).toHaveLength(1);
      expect(actionsOf(denied[0] as Statement).toSorted()).toEqual([
        'dynamodb:PutItem',
        'dynamodb:UpdateItem',
      ]);
      expect(denied[0]?.Condition).toEqual({
        'ForAnyValue:StringLike': {
          'dynamodb:LeadingKeys': [
            'cluster#*#nodes',
            'cluster#*#proxies',
            'cluster#*#database-requests',
            'cluster#*#proxy-requests',
            'cluster#*#certificates',
          ],
        },
      });
      expect(may(statements, 'dynamodb:DeleteItem')).toEqual([]);
    },
  );

  test('only who signs certificates writes them, and beside them events alone', () => {
    const statements = functionPolicy('certify');
    expect(may(statements, 'dynamodb:UpdateItem')).toEqual([]);
    expect(may(statements, 'dynamodb:DeleteItem')).toEqual([]);
    expect(may(statements, 'dynamodb:PutItem').map(({ Condition }) => Condition)).toEqual([
      {
        'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['cluster#*#certificates', 'cluster#*#events'] },
        Null: { 'dynamodb:LeadingKeys': 'false' },
      },
    ]);
  });

  test('only who signs certificates reaches secrets, those of authorities alone, and who rotates those that it rotates', () => {
    for (const policy of policies().filter(({ id }) => !id.includes('RotateRole'))) {
      const reached = statementsOf(policy).filter((statement) =>
        actionsOf(statement).some((action) => action.startsWith('secretsmanager:')),
      );
      expect(reached, policy.id).toHaveLength(policy.id.includes('FunctionsCertifyRole') ? 1 : 0);
      for (const { Resource } of reached) expect(flat(Resource)).toContain(':secret:Leasehold-authority/*');
    }
  });

  test('only those that command hosts may, by our documents, on tagged instances', () => {
    for (const name of functionNames) {
      const statements = may(functionPolicy(name), 'ssm:SendCommand');
      if (!['order', 'demote', 'abort'].includes(name)) {
        expect(statements, name).toEqual([]);
        continue;
      }
      const onInstances = statements.filter(({ Resource }) => flat(Resource).includes(':instance/'));
      expect(onInstances).toHaveLength(1);
      expect(onInstances[0]?.Condition).toEqual({
        StringLike: { 'ssm:resourceTag/leasehold:cluster': '?*' },
      });
      const byDocument = statements.filter(({ Resource }) => !flat(Resource).includes(':instance/'));
      expect(byDocument).toHaveLength(1);
      expect(flat(byDocument[0]?.Resource ?? null)).toContain('RunAction');
      expect(flat(byDocument[0]?.Resource ?? null).includes('Fence')).toBe(name === 'demote');
      expect(flat(byDocument[0]?.Resource ?? null)).not.toContain('AWS-');
      // Other programs for a host are an operator's business alone.
      expect(flat(byDocument[0]?.Resource ?? null)).not.toContain('Upgrade');
    }
  });

  test('only those that fence may stop instances, and only tagged ones; none may terminate or start', () => {
    for (const name of functionNames) {
      const stops = may(functionPolicy(name), 'ec2:StopInstances');
      expect(stops).toHaveLength(['demote', 'finish'].includes(name) ? 1 : 0);
      for (const { Condition } of stops)
        expect(Condition).toEqual({ StringLike: { 'ec2:ResourceTag/leasehold:cluster': '?*' } });
      expect(may(functionPolicy(name), 'ec2:TerminateInstances')).toEqual([]);
      expect(may(functionPolicy(name), 'ec2:StartInstances')).toEqual([]);
    }
  });

  test('only those that fence may change an attribute, the security groups alone, of tagged instances to tagged groups', () => {
    for (const name of functionNames) {
      const changes = may(functionPolicy(name), 'ec2:ModifyInstanceAttribute');
      expect(changes).toHaveLength(['demote', 'finish'].includes(name) ? 1 : 0);
      for (const { Condition, Resource } of changes) {
        expect(Condition).toEqual({
          StringLike: { 'ec2:ResourceTag/leasehold:cluster': '?*' },
          StringEqualsIgnoreCaseIfExists: { 'ec2:Attribute': 'groupSet' },
        });
        expect(flat(Resource)).toContain(':instance/');
        expect(flat(Resource)).toContain(':security-group/');
      }
    }
  });

  test('only the sentinel starts executions, and who looks at all clusters lists them', () => {
    for (const name of functionNames) {
      const sentinel = name === 'sentinel';
      expect(may(functionPolicy(name), 'states:StartExecution')).toHaveLength(sentinel ? 1 : 0);
      const scans = may(functionPolicy(name), 'dynamodb:Scan');
      expect(scans).toHaveLength(sentinel || name === 'certify' ? 1 : 0);
      for (const { Resource } of scans) expect(flat(Resource)).toContain('/index/clusters');
    }
  });

  test('everything of Step Functions is about this state machine', () => {
    for (const name of functionNames) {
      for (const statement of functionPolicy(name)) {
        if (actionsOf(statement).some((action) => action.startsWith('states:')))
          expect(flat(statement.Resource)).toContain('Leasehold-failover');
      }
    }
  });
});

test('figures and alarms go by logs and by CloudWatch: no role publishes, encrypts, or sends metrics or events', () => {
  for (const policy of policies()) {
    for (const action of statementsOf(policy).flatMap(actionsOf)) {
      expect(action).not.toMatch(/^(sns|cloudwatch|events|fis):/);
      // Whose trade are secrets.
      if (!policy.id.includes('Rotate')) expect(action).not.toMatch(/^kms:/);
    }
  }
});

describe('the rotation of secrets', () => {
  test('changes of a record its secrets alone, puts nothing but events, and knows no lease to write', () => {
    const statements = policyOf('RotationRotateRole');
    expect(may(statements, 'dynamodb:UpdateItem').map(({ Condition }) => Condition)).toEqual([
      {
        'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['cluster#*'] },
        'ForAllValues:StringEquals': {
          'dynamodb:Attributes': ['pk', 'sk', 'version', 'operation', 'secrets'],
        },
        Null: { 'dynamodb:LeadingKeys': 'false', 'dynamodb:Attributes': 'false' },
      },
    ]);
    expect(may(statements, 'dynamodb:PutItem').map(({ Condition }) => Condition)).toEqual([
      {
        'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['cluster#*#events'] },
        Null: { 'dynamodb:LeadingKeys': 'false' },
      },
    ]);
    for (const action of ['ssm:SendCommand', 'states:StartExecution', 'ec2:StopInstances'])
      expect(may(statements, action)).toEqual([]);
  });

  test('is called by Secrets Manager of this account', () => {
    const permissions = template
      .ofType('AWS::Lambda::Permission')
      .filter(({ properties }) => properties['Principal'] === 'secretsmanager.amazonaws.com');
    expect(permissions.map(({ properties }) => properties['SourceAccount'])).toEqual([
      { Ref: 'AWS::AccountId' },
    ]);
  });
});

describe('the hosts of a cluster', () => {
  const keysOf = (statement: Statement | undefined) =>
    (statement?.Condition?.['ForAllValues:StringEquals'] as JsonObject | undefined)?.['dynamodb:LeadingKeys'];

  test('a database host writes its own cluster and reads its proxies', () => {
    const statements = policyOf('AccessmainDatabase');
    expect(keysOf(may(statements, 'dynamodb:UpdateItem')[0])).toEqual([
      'cluster#main',
      'cluster#main#nodes',
      'cluster#main#operations',
      'cluster#main#events',
    ]);
    expect(may(statements, 'dynamodb:UpdateItem')).toHaveLength(1);
    expect(may(statements, 'states:StartExecution')).toHaveLength(1);
  });

  test('a proxy host never writes the lease, the record or a report of a node, and starts nothing', () => {
    const statements = policyOf('AccessmainProxy');
    for (const action of ['dynamodb:UpdateItem', 'dynamodb:PutItem']) {
      const allowed = may(statements, action);
      const asking = action === 'dynamodb:PutItem' ? [['cluster#main#proxy-requests']] : [];
      expect(allowed.map(keysOf)).toEqual([
        ['cluster#main#proxies', 'cluster#main#operations', 'cluster#main#events'],
        ...asking,
      ]);
    }
    expect(may(statements, 'states:StartExecution')).toEqual([]);
  });

  test('no host commands, stops or invokes anything', () => {
    for (const part of ['AccessmainDatabase', 'AccessmainProxy']) {
      for (const statement of policyOf(part))
        if (statement.Effect === 'Allow')
          for (const action of actionsOf(statement)) expect(action).toMatch(/^(dynamodb|states):/);
    }
  });

  test('every statement on the table names partition keys', () => {
    for (const policy of template.ofType('AWS::IAM::ManagedPolicy')) {
      for (const statement of statementsOf(policy)) {
        if (actionsOf(statement).some((action) => action.startsWith('dynamodb:')))
          expect(keysOf(statement)).toBeDefined();
      }
    }
  });
});
