/**
 * What runs on the hosts and in the control plane, built from this checkout: the CDK app's cloud assembly (with the Lambda
 * bundles in it) and the agent's bundle. Kept in `.leasehold/build/` under a hash of everything it is made of, so that a
 * second start builds nothing and a changed source never runs an old build.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Artifacts {
  readonly key: string;
  /** The folder that CDK wrote. */
  readonly assembly: string;
  /** The folder with `main.mjs` and what it needs beside it. */
  readonly agent: string;
}

/** The folder of this checkout. */
export const checkout = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const sources = ['core', 'adapters', 'agent', 'lambdas', 'infra', 'local/build-main.ts', 'package-lock.json'];
/** So many are kept: a cluster that is up uses the build it was started with. */
const keptBuilds = 8;
const keptOutputCharacters = 20_000;

/** Builds unless the same sources have been built. Throws with the builder's output when that fails; `signal` ends it. */
export async function ensureArtifacts(
  signal: AbortSignal,
  progress: (line: string) => void,
): Promise<Artifacts> {
  const folder = join(checkout, '.leasehold', 'build');
  const key = sourcesHash();
  const final = join(folder, key);
  const artifacts = { key, assembly: join(final, 'assembly'), agent: join(final, 'agent') };
  if (existsSync(final)) return artifacts;
  progress('building the control plane (CDK) and the agent');
  mkdirSync(folder, { recursive: true });
  const draft = `${final}.${process.pid}`;
  try {
    await runBuilder(draft, signal);
    // Two runtimes may build the same at once: the first to finish names it.
    if (existsSync(final)) rmSync(draft, { recursive: true, force: true });
    else renameSync(draft, final);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    throw error;
  }
  removeOldBuilds(folder, key);
  return artifacts;
}

function sourcesHash(): string {
  const hash = createHash('sha256').update(process.version);
  for (const source of sources) {
    for (const file of filesBelow(join(checkout, source))) {
      hash.update(`\0${relative(checkout, file)}\0`).update(readFileSync(file));
    }
  }
  return hash.digest('hex').slice(0, 20);
}

function filesBelow(path: string): string[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return [];
  if (stat.isFile()) return [path];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** In a process of its own: a synthesis blocks its thread for seconds and needs hundreds of megabytes. */
function runBuilder(outFolder: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(checkout, 'local', 'build-main.ts'), outFolder], {
      cwd: checkout,
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
      killSignal: 'SIGKILL',
    });
    let output = '';
    const keep = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-keptOutputCharacters);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`the build failed (exit code ${code}):\n${output.trimEnd()}`));
    });
  });
}

function removeOldBuilds(folder: string, key: string): void {
  const builds = readdirSync(folder)
    .filter((name) => name !== key && !name.includes('.'))
    .map((name) => ({ name, modifiedMs: statSync(join(folder, name)).mtimeMs }))
    .sort((a, b) => b.modifiedMs - a.modifiedMs);
  for (const { name } of builds.slice(keptBuilds - 1))
    rmSync(join(folder, name), { recursive: true, force: true });
}
