/**
 * The suite for any endpoint, at LocalStack or wherever LEASEHOLD_AWS_ENDPOINT points: the stack is deployed there by the CDK command
 * line, hosts of this machine join. Runs when it is asked for, because it fetches an image of a gigabyte.
 *
 *   npm run test:localstack                                              LocalStack by compose.yaml, brought up and down
 *   LEASEHOLD_AWS_ENDPOINT=http://127.0.0.1:4566 npm run test:localstack something that runs already, and is left running
 */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { anyEndpointSuite } from '../integration/support/any-endpoint-suite.ts';
import type { ControlPlane } from '../support/embedded-control-plane.ts';
import { deployTo } from './deploy.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const given = process.env['LEASEHOLD_AWS_ENDPOINT'];
const asked = given !== undefined || process.env['LEASEHOLD_LOCALSTACK'] !== undefined;
const localstack = 'http://127.0.0.1:4566';
/** The image may have to be fetched. */
const upTimeoutMs = 10 * 60_000;

let engine: boolean | undefined;
function unavailable(): string | null {
  if (!asked) return 'needs Docker: npm run test:localstack';
  if (given !== undefined) return null;
  // A client may be there without an engine.
  engine ??= spawnSync('docker', ['info'], { stdio: 'ignore', timeout: 20_000 }).status === 0;
  return engine ? null : 'needs Docker';
}

const compose = (...words: string[]) =>
  run('docker', ['compose', ...words], { cwd: root, timeout: upTimeoutMs });

async function open(): Promise<ControlPlane> {
  if (given !== undefined) return { address: await deployTo(given), close: async () => undefined };
  await compose('up', '--detach', '--wait');
  const close = async () => {
    await compose('down', '--volumes');
  };
  try {
    return { address: await deployTo(localstack), close };
  } catch (error) {
    await close();
    throw error;
  }
}

anyEndpointSuite(given ?? 'LocalStack', unavailable, open);
