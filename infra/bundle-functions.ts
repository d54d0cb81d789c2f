/**
 * Bundles all functions of the workflow at once, into one folder that they share: what several need is in chunks of its own, and
 * an SDK client that a function never calls is never loaded by it. Every dependency is bundled at its locked version, so
 * that what is tested here is what runs there. The same sources give the same bytes in the same folder, hence the same asset.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { functionNames } from './names.ts';

const root = join(import.meta.dirname, '..');

/** Powertools' tracer loads X-Ray's SDK, which is CommonJS. */
const requireInModules =
  "import{createRequire}from'node:module';const require=createRequire(import.meta.url);";

/** Fills `folder`, made anew, with `<function>.mjs` and what they share; returns it. Throws with what esbuild found wrong. */
export function bundleFunctions(folder: string): string {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  buildSync({
    absWorkingDir: root,
    entryPoints: [...functionNames, 'drill', 'rotate'].map((name) => `lambdas/${name}.ts`),
    entryNames: '[name]',
    chunkNames: 'shared-[hash]',
    outExtension: { '.js': '.mjs' },
    outdir: folder,
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    mainFields: ['module', 'main'],
    banner: { js: requireInModules },
    // A native driver that pg offers to load, and does without.
    external: ['pg-native'],
    minifyWhitespace: true,
    minifySyntax: true,
    sourcemap: true,
    sourcesContent: false,
    legalComments: 'none',
    logLevel: 'error',
  });
  return folder;
}
