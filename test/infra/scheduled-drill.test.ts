/**
 * Drills by schedule are made only where they are asked for. What their function may do: read its own cluster, start the state machine, write
 * drills and events. It is told where clients go, never a password.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { SecurityGroup, Vpc } from 'aws-cdk-lib/aws-ec2';
import { Schedule } from 'aws-cdk-lib/aws-events';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleFunctions } from '../../infra/bundle-functions.ts';
import { LeaseholdStack } from '../../infra/leasehold-stack.ts';
import { stackName } from '../../infra/names.ts';
import { ScheduledDrill } from '../../infra/scheduled-drill.ts';
import { readDrillSettings } from '../../lambdas/drill-settings.ts';
import { synthesiseChecked } from './synthesise-checked.ts';
import {
  actionsOf,
  flat,
  type JsonObject,
  readTemplate,
  type Statement,
  statementsOf,
  type Template,
} from './synthesised.ts';

const root = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'leasehold-drill-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function addDrill(stack: LeaseholdStack, window = 'sun 02:00-04:00'): void {
  new ScheduledDrill(stack, 'Drill', {
    cluster: 'main',
    controlPlane: stack.controlPlane,
    bundles: join(folder, 'functions'),
    vpc: Vpc.fromVpcAttributes(stack, 'Vpc', {
      vpcId: 'vpc-0123456789abcdef0',
      availabilityZones: ['us-east-1a', 'us-east-1b'],
      privateSubnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
    }),
    securityGroups: [SecurityGroup.fromSecurityGroupId(stack, 'Clients', 'sg-0123456789abcdef0')],
    endpoint: { host: 'db.internal', port: 5432, database: 'app' },
    secret: Secret.fromSecretNameV2(stack, 'Secret', 'canary'),
    certificateAuthority: 'a certificate',
    schedule: Schedule.cron({ weekDay: 'SUN', hour: '2', minute: '30' }),
    window,
  });
}

let template: Template;
let nag: string;
beforeAll(() => {
  const outdir = join(folder, 'assembly');
  const app = new App({ outdir, analyticsReporting: false });
  addDrill(
    new LeaseholdStack(app, { clusters: ['main'], bundles: bundleFunctions(join(folder, 'functions')) }),
  );
  nag = synthesiseChecked(app, outdir);
  const text = readFileSync(join(outdir, `${stackName}.template.json`), 'utf8');
  template = readTemplate(JSON.parse(text) as JsonObject);
});

const drillFunction = () => template.one('AWS::Lambda::Function', 'DrillFunction').properties;

test('the function is in the VPC, has fourteen minutes, and no second try', () => {
  expect(drillFunction()).toMatchObject({
    ...{
      FunctionName: 'Leasehold-drill-main',
      Handler: 'drill.handler',
      Timeout: 840,
      Runtime: 'nodejs24.x',
    },
    VpcConfig: {
      SubnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
      SecurityGroupIds: ['sg-0123456789abcdef0'],
    },
  });
  expect(template.one('AWS::Lambda::EventInvokeConfig').properties).toMatchObject({
    MaximumRetryAttempts: 0,
  });
  const rule = template.one('AWS::Events::Rule', 'DrillSchedule').properties;
  expect(rule).toMatchObject({ ScheduleExpression: 'cron(30 2 ? * SUN *)' });
  expect(rule['Targets']).toMatchObject([{ RetryPolicy: { MaximumRetryAttempts: 0 } }]);
});

test('what it is told is what it reads, and no password is among it', () => {
  const { Variables } = drillFunction()['Environment'] as { Variables: Record<string, string> };
  expect(readDrillSettings(Variables)).toMatchObject({
    ...{ cluster: 'main', host: 'db.internal', port: 5432, database: 'app', ca: 'a certificate' },
    ...{ secretParameter: '/aws/reference/secretsmanager/canary', table: 'leasehold_canary' },
    window: { days: ['sun'], fromMinute: 120, toMinute: 240 },
  });
  expect(flat(Variables)).not.toMatch(/password/i);
});

test('a window that is none fails at synthesis, by its name', () => {
  const app = new App({ analyticsReporting: false });
  const stack = new LeaseholdStack(app, { clusters: ['main'], bundles: join(folder, 'functions') });
  expect(() => addDrill(stack, 'at night')).toThrow(/^window was "at night"/);
});

test('its alarm tells the topic, and names a page that exists', () => {
  const { properties } = template.one('AWS::CloudWatch::Alarm', 'DrillFails');
  expect(properties).toMatchObject({ Namespace: 'AWS/Lambda', MetricName: 'Errors' });
  expect(properties['AlarmActions']).toEqual([{ Ref: template.one('AWS::SNS::Topic').id }]);
  const page = /docs\/runbook\/[a-z-]+\.md/.exec(String(properties['AlarmDescription']))?.[0] ?? 'none';
  expect(existsSync(join(root, page))).toBe(true);
});

describe('what it may do', () => {
  const statements = (): readonly Statement[] =>
    statementsOf(template.one('AWS::IAM::Policy', 'DrillRoleDefaultPolicy'));
  const may = (action: string) => statements().filter((statement) => actionsOf(statement).includes(action));
  const keysOf = (statement: Statement | undefined) =>
    (statement?.Condition?.['ForAllValues:StringEquals'] as JsonObject | undefined)?.['dynamodb:LeadingKeys'];

  test('reads its own cluster, and writes its drills and events: never the lease, the record or a report', () => {
    expect(may('dynamodb:Query').map(keysOf)).toEqual([
      ['cluster#main', 'cluster#main#nodes', 'cluster#main#proxies', 'cluster#main#operations'],
    ]);
    expect(may('dynamodb:PutItem').map(keysOf)).toEqual([['cluster#main#operations', 'cluster#main#events']]);
    expect(may('dynamodb:UpdateItem')).toEqual([]);
  });

  test('starts this state machine, and answers no task in the place of a host', () => {
    expect(flat(may('states:StartExecution')[0]?.Resource ?? null)).toContain('Leasehold-failover');
    expect(may('states:SendTaskSuccess')).toEqual([]);
  });

  test('reads one secret, and commands, stops or isolates no host', () => {
    expect(may('ssm:GetParameter')).toHaveLength(1);
    expect(flat(may('ssm:GetParameter')[0]?.Resource ?? null)).toContain(
      ':parameter/aws/reference/secretsmanager/canary',
    );
    expect(flat(may('secretsmanager:GetSecretValue')[0]?.Resource ?? null)).toContain(':secret:canary-');
    const actions = statements().flatMap(actionsOf);
    for (const action of ['ssm:SendCommand', 'ec2:StopInstances', 'ec2:ModifyInstanceAttribute'])
      expect(actions).not.toContain(action);
  });

  test('everything on * is about traces and network interfaces', () => {
    const everywhere = statements().filter(({ Resource }) => Resource === '*');
    for (const action of everywhere.flatMap(actionsOf))
      expect(action).toMatch(
        /^xray:Put|^ec2:[A-Za-z]*(NetworkInterfaces?|PrivateIpAddresses|DescribeSubnets)$/,
      );
  });
});

test('the rules of AwsSolutions are kept with it', () => {
  const report = JSON.parse(nag) as {
    pluginReports: { pluginName: string; violations: { ruleName: string }[] }[];
  };
  const ours = report.pluginReports.filter(({ pluginName }) => pluginName === 'AwsSolutions');
  expect(ours.flatMap(({ violations }) => violations.map(({ ruleName }) => ruleName))).toEqual([]);
});
