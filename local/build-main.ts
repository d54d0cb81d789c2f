/**
 * Builds what runs on the hosts and in the control plane into one folder: `assembly/`, what CDK synthesises, and `agent/`, the
 * agent's bundle with its guard beside it. A process of its own, started by the embedded runtime.
 *
 *   node local/build-main.ts <folder>
 */
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { synthesise } from '../infra/synthesise.ts';
import { checkout } from './runtime/build-artifacts.ts';

/** Bundled as on EC2: one main program, and parts that are loaded when they are needed. */
async function bundleAgent(folder: string): Promise<void> {
  await build({
    entryPoints: { main: join(checkout, 'agent', 'main.ts') },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    // ES modules of the SDK: loaded lazily, a CommonJS one would arrive without its named exports.
    mainFields: ['module', 'main'],
    target: 'node24',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    // A native driver that pg offers to load, and does without.
    external: ['pg-native'],
    // CommonJS packages in the bundle ask for Node's own modules with require.
    banner: {
      js: "import { createRequire as createRequireForBundle } from 'node:module'; const require = createRequireForBundle(import.meta.url);",
    },
    logLevel: 'warning',
  });
  cpSync(join(checkout, 'agent', 'guard.sh'), join(folder, 'guard.sh'));
}

const folder = process.argv[2];
if (folder === undefined) throw new Error('usage: node local/build-main.ts <folder>');
mkdirSync(join(folder, 'agent'), { recursive: true });
await bundleAgent(join(folder, 'agent'));
await synthesise(join(folder, 'assembly'));
