/**
 * A control plane of the embedded runtime that has no hosts: table, functions, state machine and documents of the synthesised stack
 * behind one endpoint of this process, for hosts that join it and for tests that need none.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readStack } from '../../local/aws/template.ts';
import { startAws } from '../../local/runtime/aws-services.ts';
import { ensureArtifacts } from '../../local/runtime/build-artifacts.ts';
import type { ControlPlaneElsewhere } from '../../local/runtime/control-plane-elsewhere.ts';

export interface ControlPlane {
  readonly address: ControlPlaneElsewhere;
  close(): Promise<void>;
}

/** `signsCertificates`: within a second, as where the hosts are of this runtime; otherwise each minute. */
export async function embeddedControlPlane(
  options: { readonly signsCertificates?: boolean } = {},
): Promise<ControlPlane> {
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-control-plane-'));
  const { assembly } = await ensureArtifacts(new AbortController().signal, () => undefined);
  const suffix = '.template.json';
  const template = readdirSync(assembly).find((name) => name.endsWith(suffix)) ?? '';
  const stack = readStack({ assemblyFolder: assembly, stackName: template.slice(0, -suffix.length) });
  const credentials = { accessKeyId: 'LOCALCONTROLPLANE', secretAccessKey: 'not-a-secret' };
  const noHost = async (instanceId: string) => {
    throw new Error(`${instanceId} is no host of this control plane`);
  };
  const aws = await startAws({
    stack,
    folder,
    port: 0,
    latency: 'none',
    credentials,
    signsCertificates: options.signsCertificates ?? false,
    hosts: [],
    secrets: [],
    hostDriver: { stop: noHost, start: noHost, setSecurityGroups: noHost },
    log: () => undefined,
  });
  aws.resume();
  return {
    address: {
      awsEndpointUrl: aws.server.endpoint,
      region: stack.region,
      ...credentials,
      tableName: String(stack.output('TableName')),
      stateMachineArn: String(stack.output('StateMachineArn')),
      documents: {
        runAction: String(stack.output('RunActionDocument')),
        fence: String(stack.output('FenceDocument')),
      },
    },
    async close() {
      await aws.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
