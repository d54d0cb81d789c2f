/** The agent as one folder that needs only Node: its bundle, and its scripts beside it. */
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { agentNodeOptions } from '../../agent/node-options.ts';
import { checkout } from './build-artifacts.ts';

/** Bundled as on EC2: one main program, and parts that are loaded when they are needed. */
export async function bundleAgent(folder: string): Promise<void> {
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
  for (const script of ['guard.sh', 'run-action.sh']) {
    cpSync(join(checkout, 'agent', script), join(folder, script));
  }
  // For the command of a host, a line each; what starts agents here has them from the source.
  writeFileSync(join(folder, 'node-options'), `${agentNodeOptions.join('\n')}\n`);
}
