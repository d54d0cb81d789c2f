/**
 * Synthesises the stack without the CDK CLI, for the embedded runtime and for tests: the same template and bundles that would
 * be deployed, without the checks that a deployment has besides.
 */
import { join } from 'node:path';
import { bundleFunctions } from './bundle-functions.ts';
import { stackName } from './names.ts';

export interface Synthesised {
  /** The cloud assembly: template, assets and their manifest. */
  readonly folder: string;
  readonly stackName: string;
}

/**
 * Writes to `outdir`: the assembly, and beside it in `functions/` the bundles it was made of. The same sources give the same
 * assembly. Throws when a function cannot be bundled.
 */
export async function synthesise(outdir: string): Promise<Synthesised> {
  process.env['CDK_VALIDATION'] ??= 'false';
  const { App } = await import('aws-cdk-lib');
  const { LeaseholdStack } = await import('./leasehold-stack.ts');
  const bundles = bundleFunctions(join(outdir, 'functions'));
  const app = new App({ outdir: join(outdir, 'assembly'), analyticsReporting: false });
  new LeaseholdStack(app, { clusters: ['main'], bundles });
  const assembly = app.synth();
  return { folder: assembly.directory, stackName };
}
