/**
 * Builds what runs on the hosts and in the control plane into one folder: `assembly/`, what CDK synthesises, and `agent/`, the
 * agent's bundle with its guard beside it. A process of its own, started by the embedded runtime.
 *
 *   node local/build-main.ts <folder>
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { synthesise } from '../infra/synthesise.ts';
import { bundleAgent } from './runtime/bundle-agent.ts';

const folder = process.argv[2];
if (folder === undefined) throw new Error('usage: node local/build-main.ts <folder>');
mkdirSync(join(folder, 'agent'), { recursive: true });
await bundleAgent(join(folder, 'agent'));
await synthesise(folder);
