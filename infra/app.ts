/** The CDK app, as `cdk synth` and `cdk deploy` run it. */
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { bundleFunctions } from './bundle-functions.ts';
import {
  alarmEmailsInContext,
  clustersInContext,
  LeaseholdStack,
  watchingInContext,
} from './leasehold-stack.ts';

const app = new App();
new LeaseholdStack(app, {
  clusters: clustersInContext(app),
  alarmEmails: alarmEmailsInContext(app),
  watching: watchingInContext(app),
  bundles: bundleFunctions(join(import.meta.dirname, '../.build/functions')),
});
app.synth();
