/**
 * What wakes people: every alarm watches a metric that the code sends, under the name and the dimension by which it is sent, and names a page
 * that exists; every page is named by an alarm; the topic takes alarms of this account and nothing else.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Rule } from 'aws-cdk-lib/aws-events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { alarmsPerCluster, sharedAlarms } from '../../bench/cost/monthly-cost.ts';
import {
  healthMetrics,
  metricDimension,
  metricNamespace,
  metricUnits,
} from '../../core/health/cluster-metrics.ts';
import { bundleFunctions } from '../../infra/bundle-functions.ts';
import { ClusterAlarms } from '../../infra/cluster-alarms.ts';
import {
  alarmEmailsInContext,
  LeaseholdStack,
  type LeaseholdStackProps,
  watchingInContext,
} from '../../infra/leasehold-stack.ts';
import { operationsEnded } from '../../infra/operation-events.ts';
import { flat, type JsonObject, readTemplate, type Statement, synthesiseTemplate } from './synthesised.ts';

const runbook = join(import.meta.dirname, '../../docs/runbook');

/** With everything watched; `essential` is what is made when nothing is said. */
let template: ReturnType<typeof readTemplate>;
let essential: Awaited<ReturnType<typeof synthesiseTemplate>>;
beforeAll(async () => {
  essential = await synthesiseTemplate();
  template = readTemplate(Template.fromStack(stackWith({ watching: 'full' })).toJSON() as JsonObject);
});
const folder = mkdtempSync(join(tmpdir(), 'leasehold-observability-'));
afterAll(() => {
  essential.remove();
  rmSync(folder, { recursive: true, force: true });
});

function stackWith(props: Partial<LeaseholdStackProps>): LeaseholdStack {
  const bundles = bundleFunctions(join(folder, 'functions'));
  return new LeaseholdStack(new App({ analyticsReporting: false }), {
    clusters: ['main'],
    bundles,
    ...props,
  });
}

const alarms = () => template.ofType('AWS::CloudWatch::Alarm').map(({ properties }) => properties);
const ofCluster = () => alarms().filter(({ Namespace }) => Namespace === metricNamespace);
const pageOf = (alarm: JsonObject) =>
  /docs\/runbook\/([a-z-]+)\.md/.exec(String(alarm['AlarmDescription']))?.[1] ?? 'none';

describe('the alarms', () => {
  test('are as many as the bill has, when nothing is said', () => {
    expect(essential.ofType('AWS::CloudWatch::Alarm')).toHaveLength(
      sharedAlarms + alarmsPerCluster.essential,
    );
  });

  test('of a cluster watch what the sentinel sends, by the one dimension that it sends it with', () => {
    expect(
      ofCluster()
        .map(({ MetricName }) => MetricName)
        .toSorted(),
    ).toEqual(
      Object.keys(healthMetrics)
        .filter((name) => name !== 'Trouble')
        .toSorted(),
    );
    for (const alarm of ofCluster()) {
      expect(alarm['Dimensions']).toEqual([{ Name: metricDimension, Value: 'main' }]);
      // A sum or an average of what is sent each minute would hide, or invent, what it says.
      expect(alarm).toMatchObject({ Statistic: 'Maximum', Period: 60 });
    }
  });

  test('of the control plane watch the functions and the state machine, as AWS counts them', () => {
    const others = alarms().filter(({ Namespace }) => Namespace !== metricNamespace);
    expect(others.map(({ Namespace, MetricName }) => `${Namespace} ${MetricName}`).toSorted()).toEqual([
      // The sentinel's and the rotation's.
      'AWS/Lambda Errors',
      'AWS/Lambda Errors',
      'AWS/Lambda Errors',
      'AWS/States ExecutionsFailed',
    ]);
  });

  test('each name a page of the runbook, and each page has its alarm', () => {
    const pages = alarms().map(pageOf);
    expect(new Set(pages).size).toBe(pages.length);
    for (const page of pages) expect(existsSync(join(runbook, `${page}.md`)), page).toBe(true);
    // That of drills is there only where drills are asked for.
    expect([...pages, 'drill-failed', 'trouble'].toSorted()).toEqual(
      readdirSync(runbook)
        .map((name) => name.replace('.md', ''))
        .toSorted(),
    );
  });

  test('take a minute without a figure for a good one, but for "no primary", and for what does not run each minute', () => {
    const missing = (of: readonly JsonObject[]) =>
      of.filter((alarm) => alarm['TreatMissingData'] !== 'notBreaching').map(pageOf);
    expect(missing(alarms()).toSorted()).toEqual(['certificates-failing', 'no-primary', 'sentinel-failing']);
    for (const name of ['SentinelFails', 'CertificatesFail']) {
      const { properties } = essential.one('AWS::CloudWatch::Alarm', name);
      expect(properties['TreatMissingData']).toBe('breaching');
    }
  });

  test('tell the topic when they begin and when they end', () => {
    const { id } = template.one('AWS::SNS::Topic');
    for (const alarm of alarms()) {
      expect(alarm['AlarmActions']).toEqual([{ Ref: id }]);
      expect(alarm['OKActions']).toEqual([{ Ref: id }]);
    }
  });

  test('call a standby too far behind where an election would', () => {
    const lag = ofCluster().find(({ MetricName }) => MetricName === 'ReplicationLagBytes');
    expect(lag?.['Threshold']).toBe(16 * 1024 * 1024);
  });
});

describe('what is made when nothing is said', () => {
  const made = () => essential.ofType('AWS::CloudWatch::Alarm').map(({ properties }) => properties);

  test('is three alarms for a cluster: no primary, split brain, and one for all other kinds of trouble', () => {
    const ours = made().filter(({ Namespace }) => Namespace === metricNamespace);
    expect(ours.map(({ MetricName }) => MetricName).toSorted()).toEqual([
      'NoPrimary',
      'SplitBrainSuspected',
      'Trouble',
    ]);
    for (const alarm of ours) {
      expect(alarm).toMatchObject({ Statistic: 'Maximum', Period: 60, Threshold: 1 });
      expect(alarm['TreatMissingData']).toBe('notBreaching');
      expect(existsSync(join(runbook, `${pageOf(alarm)}.md`))).toBe(true);
    }
    expect(made().length - ours.length).toBe(4);
  });

  test('has no dashboard and no key, and says so to the functions that send figures', () => {
    expect(essential.ofType('AWS::CloudWatch::Dashboard')).toEqual([]);
    expect(essential.ofType('AWS::KMS::Key')).toEqual([]);
    const watchingOf = (of: typeof template) =>
      new Set(
        of
          .ofType('AWS::Lambda::Function')
          // The rotation sends none.
          .flatMap(
            ({ properties }) => flat(properties['Environment'] ?? null).match(/WATCHING":"(\w+)"/)?.[1] ?? [],
          ),
      );
    expect([...watchingOf(essential)]).toEqual(['essential']);
    expect([...watchingOf(template)]).toEqual(['full']);
  });

  test('leaves the topic to alarms of this account over TLS all the same', () => {
    const policy = flat(essential.one('AWS::SNS::TopicPolicy').properties);
    expect(policy).toContain('aws:SourceAccount');
    expect(policy).toContain('aws:SecureTransport');
    expect(essential.one('AWS::SNS::Topic').properties).not.toHaveProperty('KmsMasterKeyId');
  });

  test('is more for a cluster that is given limits of its own', () => {
    const app = new App({ analyticsReporting: false });
    const stack = new Stack(app, 'Limits');
    new ClusterAlarms(stack, 'Alarms', { cluster: 'main', mostLagBytes: 5 });
    Template.fromStack(stack).hasResourceProperties('AWS::CloudWatch::Alarm', {
      MetricName: 'ReplicationLagBytes',
      Threshold: 5,
    });
  });
});

describe('the topic', () => {
  const statements = (type: string) => {
    const { properties } = template.one(type);
    const policy = (properties['PolicyDocument'] ?? properties['KeyPolicy']) as unknown as {
      Statement: (Statement & { Principal: JsonObject })[];
    };
    return policy.Statement;
  };
  const byAlarms = { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } };

  test('is encrypted by a key of its own that is rotated: alarms cannot use that of AWS', () => {
    expect(flat(template.one('AWS::SNS::Topic').properties['KmsMasterKeyId'] ?? null)).toContain('Key');
    expect(template.one('AWS::KMS::Key').properties['EnableKeyRotation']).toBe(true);
  });

  test('takes what alarms of this account publish, and nothing without TLS', () => {
    const [allowed, ...others] = statements('AWS::SNS::TopicPolicy').filter(
      ({ Effect }) => Effect === 'Allow',
    );
    expect(others).toEqual([]);
    expect(allowed).toMatchObject({
      Action: 'sns:Publish',
      Principal: { Service: 'cloudwatch.amazonaws.com' },
      Condition: { StringEquals: byAlarms },
    });
    const denied = statements('AWS::SNS::TopicPolicy').filter(({ Effect }) => Effect === 'Deny');
    expect(denied).toMatchObject([{ Condition: { Bool: { 'aws:SecureTransport': 'false' } } }]);
  });

  test("lets alarms use its key for nothing but that, and only this account's", () => {
    const service = statements('AWS::KMS::Key').filter(({ Principal }) => 'Service' in Principal);
    expect(service).toMatchObject([
      {
        Action: ['kms:Decrypt', 'kms:GenerateDataKey*'],
        Principal: { Service: 'cloudwatch.amazonaws.com' },
        Condition: { StringEquals: byAlarms },
      },
    ]);
  });
});

describe('the dashboard', () => {
  test('shows only metrics that are sent, and every one of them but the rest of a rate', () => {
    const body = flat(template.one('AWS::CloudWatch::Dashboard').properties['DashboardBody'] ?? null);
    const shown = new Set(
      [...body.matchAll(/Leasehold\\+",\\+"([A-Za-z]+)\\+",\\+"([a-z]+)\\+",\\+"([a-z-]+)\\+"/g)].map(
        ([, name, dimension, cluster]) => `${name} ${dimension}=${cluster}`,
      ),
    );
    expect([...shown].toSorted()).toEqual(
      Object.keys(metricUnits)
        .filter((name) => name !== 'Trouble')
        .map((name) => `${name} cluster=main`)
        .toSorted(),
    );
  });
});

test('several clusters have alarms each, addresses are subscribed, and a rule hears of operations that ended', () => {
  const stack = stackWith({ clusters: ['main', 'orders'], alarmEmails: ['ops@example.com'] });
  new Rule(stack, 'Failed', { eventPattern: operationsEnded(stack.controlPlane.machine, ['FAILED']) });
  const two = Template.fromStack(stack);
  two.resourceCountIs('AWS::CloudWatch::Alarm', 2 * 3 + 4);
  const [machine] = Object.keys(two.findResources('AWS::StepFunctions::StateMachine'));
  two.hasResourceProperties('AWS::Events::Rule', {
    EventPattern: {
      source: ['aws.states'],
      'detail-type': ['Step Functions Execution Status Change'],
      detail: { stateMachineArn: [{ Ref: machine }], status: ['FAILED'] },
    },
  });
  two.hasResourceProperties('AWS::SNS::Subscription', { Protocol: 'email', Endpoint: 'ops@example.com' });
});

test('addresses come from the context, and what is none is refused', () => {
  const read = (alarmEmails: unknown) =>
    alarmEmailsInContext(new App({ analyticsReporting: false, context: { alarmEmails } }));
  expect(read(undefined)).toEqual([]);
  expect(read('ops@example.com, oncall@example.com')).toEqual(['ops@example.com', 'oncall@example.com']);
  expect(() => read('ops')).toThrow(/"ops" in the context "alarmEmails" is no address/);
});

test('how much is watched comes from the context, and what is neither is refused', () => {
  const read = (watching: unknown) =>
    watchingInContext(new App({ analyticsReporting: false, context: { watching } }));
  expect([read(undefined), read('full')]).toEqual(['essential', 'full']);
  expect(() => read('everything')).toThrow(
    'the context "watching" was "everything"; it takes essential or full',
  );
});
