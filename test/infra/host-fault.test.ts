/**
 * The fault for drills strikes only the instance that somebody has marked, of this one cluster, and stops when the cluster has no primary.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bundleFunctions } from '../../infra/bundle-functions.ts';
import { HostFault } from '../../infra/host-fault.ts';
import { LeaseholdStack } from '../../infra/leasehold-stack.ts';
import { stackName } from '../../infra/names.ts';
import { synthesiseChecked } from './synthesise-checked.ts';
import {
  actionsOf,
  flat,
  type JsonObject,
  readTemplate,
  statementsOf,
  type Template,
} from './synthesised.ts';

const folder = mkdtempSync(join(tmpdir(), 'leasehold-fault-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const bundles = join(folder, 'functions');
const stackIn = (app: App) => new LeaseholdStack(app, { clusters: ['main'], bundles });

let template: Template;
let nag: string;
beforeAll(() => {
  bundleFunctions(bundles);
  const outdir = join(folder, 'assembly');
  const app = new App({ outdir, analyticsReporting: false });
  const stack = stackIn(app);
  new HostFault(stack, 'Fault', { cluster: 'main', controlPlane: stack.controlPlane });
  nag = synthesiseChecked(app, outdir);
  const text = readFileSync(join(outdir, `${stackName}.template.json`), 'utf8');
  template = readTemplate(JSON.parse(text) as JsonObject);
});

const experiment = () => template.one('AWS::FIS::ExperimentTemplate').properties;

test('it stops one running instance with both tags, starts it again, and fails when none is marked', () => {
  expect(experiment()).toMatchObject({
    Targets: {
      Marked: {
        ResourceType: 'aws:ec2:instance',
        ResourceTags: { 'leasehold:cluster': 'main', 'leasehold:fault': 'stop' },
        SelectionMode: 'COUNT(1)',
        Filters: [{ Path: 'State.Name', Values: ['running'] }],
      },
    },
    Actions: {
      Stop: {
        ActionId: 'aws:ec2:stop-instances',
        Parameters: { startInstancesAfterDuration: 'PT5M' },
        Targets: { Instances: 'Marked' },
      },
    },
    ExperimentOptions: { EmptyTargetResolutionMode: 'fail', AccountTargeting: 'single-account' },
  });
});

test("it ends when the cluster's alarms say that there is no primary, or that there are two", () => {
  const conditions = experiment()['StopConditions'] as unknown as { Source: string; Value: JsonObject }[];
  const ids = ['NoPrimary', 'SplitBrain'].map((name) => template.one('AWS::CloudWatch::Alarm', name).id);
  expect(conditions).toEqual(
    ids.map((id) => ({ Source: 'aws:cloudwatch:alarm', Value: { 'Fn::GetAtt': [id, 'Arn'] } })),
  );
});

test('its role is taken by experiments of this account alone, and stops or starts the marked instance only', () => {
  const role = template.one('AWS::IAM::Role', 'FaultRole').properties;
  const [trust] = (role['AssumeRolePolicyDocument'] as unknown as { Statement: JsonObject[] }).Statement;
  expect(trust).toMatchObject({
    Principal: { Service: 'fis.amazonaws.com' },
    Condition: { StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } } },
  });
  expect(flat(trust?.['Condition'] ?? null)).toContain(':experiment/*');
  const statements = statementsOf(template.one('AWS::IAM::Policy', 'FaultRole'));
  expect(statements.flatMap(actionsOf).toSorted()).toEqual([
    'ec2:DescribeInstances',
    'ec2:StartInstances',
    'ec2:StopInstances',
  ]);
  const stop = statements.find((one) => actionsOf(one).includes('ec2:StopInstances'));
  expect(stop?.Condition).toEqual({
    StringEquals: { 'ec2:ResourceTag/leasehold:cluster': 'main', 'ec2:ResourceTag/leasehold:fault': 'stop' },
  });
});

test('a cluster that the control plane does not know, or no minutes, is refused by name', () => {
  const stack = stackIn(new App({ analyticsReporting: false }));
  const { controlPlane } = stack;
  expect(() => new HostFault(stack, 'A', { cluster: 'other', controlPlane })).toThrow(/^cluster was "other"/);
  expect(() => new HostFault(stack, 'B', { cluster: 'main', controlPlane, startAfterMinutes: 0 })).toThrow(
    /^startAfterMinutes was 0/,
  );
});

test('the rules of AwsSolutions are kept with it', () => {
  const report = JSON.parse(nag) as {
    pluginReports: { pluginName: string; violations: { ruleName: string }[] }[];
  };
  const ours = report.pluginReports.filter(({ pluginName }) => pluginName === 'AwsSolutions');
  expect(ours.flatMap(({ violations }) => violations.map(({ ruleName }) => ruleName))).toEqual([]);
});
