/**
 * cdk-nag's AwsSolutions rules over the stack and the examples, and CDK's own validation of the templates: whatever is not acknowledged
 * with a reason in the code fails. Only a zone's name, which the example of an existing VPC has to say, is let pass.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { CfnSecurityGroup } from 'aws-cdk-lib/aws-ec2';
import { CfnBucket } from 'aws-cdk-lib/aws-s3';
import { afterAll, expect, test } from 'vitest';
import { existingHosts } from '../../examples/existing-hosts/app.ts';
import { existingVpc } from '../../examples/existing-vpc/app.ts';
import { threeRegions } from '../../examples/three-regions/app.ts';
import { wholeCluster } from '../../examples/whole-cluster/app.ts';
import { agentArtifact } from '../../infra/agent-artifact.ts';
import { bundleFunctions } from '../../infra/bundle-functions.ts';
import { LeaseholdStack } from '../../infra/leasehold-stack.ts';
import { synthesiseChecked } from './synthesise-checked.ts';

const folder = mkdtempSync(join(tmpdir(), 'leasehold-nag-'));
const bundles = bundleFunctions(join(folder, 'functions'));
const agentFile = join(folder, 'agent.tar.gz');
writeFileSync(agentFile, 'of no interest here');
const agent = agentArtifact(agentFile);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const namedZone = 'W3010';

interface Report {
  readonly pluginReports: readonly {
    readonly pluginName: string;
    readonly violations: readonly { readonly ruleName: string; readonly violatingConstructs: unknown }[];
  }[];
}

function check(name: string, build: (app: App) => unknown): readonly string[] {
  const outdir = join(folder, name);
  const app = new App({ outdir, analyticsReporting: false });
  build(app);
  const report = JSON.parse(synthesiseChecked(app, outdir)) as Report;
  return report.pluginReports
    .flatMap(({ violations }) => violations)
    .filter(({ ruleName }) => ruleName !== namedZone)
    .map((one) => `${one.ruleName} ${JSON.stringify(one.violatingConstructs)}`);
}

const examples: Readonly<Record<string, (app: App) => unknown>> = {
  'the control plane': (app) => new LeaseholdStack(app, { clusters: ['main'], bundles }),
  'whole-cluster': (app) => wholeCluster(app, bundles, agent),
  'existing-vpc': (app) => existingVpc(app, bundles, agent),
  'existing-hosts': (app) => existingHosts(app, bundles),
  'three-regions': (app) => threeRegions(app, bundles),
};

test.each(Object.keys(examples))(
  'the rules of AwsSolutions and of CloudFormation are kept, or acknowledged with a reason, by %s',
  (name) => {
    expect(check(name.replaceAll(' ', '-'), examples[name] as (app: App) => unknown)).toEqual([]);
  },
);

test('the rules are really applied: a bucket without anything breaks some', () => {
  const broken = check('with-a-bucket', (app) => {
    new CfnBucket(new LeaseholdStack(app, { clusters: ['main'], bundles }), 'Bucket');
  });
  expect(broken.join()).toContain('AwsSolutions-S1');
});

test('so are those of CloudFormation: a description with an apostrophe is none that EC2 takes', () => {
  const broken = check('with-a-group', (app) => {
    const stack = new LeaseholdStack(app, { clusters: ['main'], bundles });
    new CfnSecurityGroup(stack, 'Group', { groupDescription: "nobody's" });
  });
  expect(broken.join()).toContain('F3031');
});
