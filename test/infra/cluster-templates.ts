/**
 * Templates of whole clusters for the tests: the examples as they are, and a cluster with any props. The functions and the agent are small
 * files made for the test, as nothing here looks inside them.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { App, Stack } from 'aws-cdk-lib';
import type { AgentArtifact } from '../../infra/agent-artifact.ts';
import type { PostgresClusterProps } from '../../infra/postgres-cluster.ts';
import { type JsonObject, readTemplate, type Template } from './synthesised.ts';

// CDK reads it when it is loaded, hence the imports below. test/infra/nag.test.ts validates.
process.env['CDK_VALIDATION'] ??= 'false';

export type Props = Omit<PostgresClusterProps, 'controlPlane' | 'agent'>;
type Build = (app: App, bundles: string, agent: AgentArtifact) => Stack;

export interface Templates {
  readonly folder: string;
  /** The template of the stack that `build` returns. */
  of(build: Build): Promise<Template>;
  /** A control plane and a cluster in one stack; `version` is what the agent's file holds. */
  cluster(props: Props, version?: string): Promise<Template>;
  remove(): void;
}

export function clusterTemplates(): Templates {
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-clusters-'));
  const bundles = join(folder, 'functions');
  mkdirSync(bundles);
  writeFileSync(join(bundles, 'begin.mjs'), 'export const handler = () => undefined;\n');
  let made = 0;

  async function artifact(version: string): Promise<AgentArtifact> {
    const { agentArtifact } = await import('../../infra/agent-artifact.ts');
    const file = join(folder, `agent-${version}.tar.gz`);
    writeFileSync(file, version);
    return agentArtifact(file);
  }

  async function synthesised(build: Build, version: string): Promise<Template> {
    const { App } = await import('aws-cdk-lib');
    const app = new App({ outdir: join(folder, `out-${++made}`), analyticsReporting: false });
    const { stackName } = build(app, bundles, await artifact(version));
    const text = readFileSync(join(app.synth().directory, `${stackName}.template.json`), 'utf8');
    return readTemplate(JSON.parse(text) as JsonObject);
  }

  return {
    folder,
    of: (build) => synthesised(build, '1'),
    async cluster(props, version = '1') {
      const { LeaseholdStack } = await import('../../infra/leasehold-stack.ts');
      const { PostgresCluster } = await import('../../infra/postgres-cluster.ts');
      return await synthesised((app, functions, agent) => {
        const stack = new LeaseholdStack(app, { clusters: ['other'], bundles: functions });
        new PostgresCluster(stack, 'Main', { ...props, controlPlane: stack.controlPlane, agent });
        return stack;
      }, version);
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
