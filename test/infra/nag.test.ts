/**
 * cdk-nag's AwsSolutions rules over the whole stack, with CDK's own validation on: whatever is not acknowledged with a reason in the
 * code fails.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, Validations } from 'aws-cdk-lib';
import { CfnBucket } from 'aws-cdk-lib/aws-s3';
import { AwsSolutionsChecks } from 'cdk-nag';
import { afterAll, expect, test } from 'vitest';
import { bundleFunctions } from '../../infra/bundle-functions.ts';
import { LeaseholdStack } from '../../infra/leasehold-stack.ts';

const folder = mkdtempSync(join(tmpdir(), 'leasehold-nag-'));
const bundles = bundleFunctions(join(folder, 'functions'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Report {
  readonly pluginReports: readonly {
    readonly pluginName: string;
    readonly violations: readonly { readonly ruleName: string; readonly violatingConstructs: unknown }[];
  }[];
}

function check(name: string, change: (stack: LeaseholdStack) => void): readonly string[] {
  const outdir = join(folder, name);
  const app = new App({ outdir, analyticsReporting: false });
  change(new LeaseholdStack(app, { clusters: ['main'], bundles }));
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  try {
    app.synth();
  } catch (error) {
    if (!String(error).includes('ValidationFailed')) throw error;
  }
  const report = JSON.parse(readFileSync(join(outdir, 'validation-report.json'), 'utf8')) as Report;
  const ours = report.pluginReports.filter(({ pluginName }) => pluginName === 'AwsSolutions');
  return ours.flatMap(({ violations }) =>
    violations.map((one) => `${one.ruleName} ${JSON.stringify(one.violatingConstructs)}`),
  );
}

test('the rules of AwsSolutions are kept, or acknowledged with a reason', () => {
  expect(check('as-it-is', () => undefined)).toEqual([]);
});

test('the rules are really applied: a bucket without anything breaks some', () => {
  const broken = check('with-a-bucket', (stack) => {
    new CfnBucket(stack, 'Bucket');
  });
  expect(broken.join()).toContain('AwsSolutions-S1');
});
