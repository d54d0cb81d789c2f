/** Synthesises an app with cdk-nag's AwsSolutions rules and CDK's own validation on. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';

/** The report, as JSON text, whatever it says. Throws what else is wrong with the app, whose `outdir` is given. */
export function synthesiseChecked(app: App, outdir: string): string {
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  try {
    app.synth();
  } catch (error) {
    if (!String(error).includes('ValidationFailed')) throw error;
  }
  return readFileSync(join(outdir, 'validation-report.json'), 'utf8');
}
