/**
 * The Node that goes into a host's artifact: the version this project is tested with, for the hosts' kind of processor. It comes from the
 * `node-linux-*` packages that `node` itself installs from; those are not in the lock file, so the program's own SHA-256 is pinned here.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../../adapters/process.ts';

export const architectures = ['arm64', 'x64'] as const;
export type Architecture = (typeof architectures)[number];

/** What is pinned in package.json, with the SHA-256 of `bin/node` of `node-linux-<architecture>` of that version. */
const pinned = {
  version: '24.21.0',
  sha256: {
    arm64: '0f8949d1028f6d61506b2d5bc57e7e6fe893d7b1997509b7847294fc9c616584',
    x64: '7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c',
  },
} as const;

const downloadTimeoutMs = 300_000;

/**
 * The path of the program: this checkout's own where the architecture is this machine's, else from the registry, kept in `cacheFolder`.
 * Rejects when it cannot be had, or is not what was pinned.
 */
export async function nodeRuntime(
  checkout: string,
  architecture: Architecture,
  cacheFolder: string,
): Promise<string> {
  const own = join(checkout, 'node_modules', 'node', 'bin', 'node');
  if (process.platform === 'linux' && process.arch === architecture && existsSync(own)) {
    return verified(own, architecture);
  }
  const name = `node-linux-${architecture}`;
  const cached = join(cacheFolder, `${name}-${pinned.version}`);
  if (existsSync(cached)) return verified(cached, architecture);
  const draft = `${cached}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  try {
    await succeed(['npm', 'pack', '--silent', '--pack-destination', draft, `${name}@${pinned.version}`]);
    const archive = join(draft, `${name}-${pinned.version}.tgz`);
    await succeed(['tar', '-xzf', archive, '-C', draft, 'package/bin/node']);
    const program = verified(join(draft, 'package', 'bin', 'node'), architecture);
    renameSync(program, cached);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return cached;
}

async function succeed(argv: readonly string[]): Promise<void> {
  // npm has its settings, a registry or a proxy among them, in the user's home or in the environment.
  const env = Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  const done = await runProgram(argv, { timeoutMs: downloadTimeoutMs, env });
  if (done.kind === 'exited' && done.exitCode === 0) return;
  const why = done.kind === 'not-started' ? done.reason : done.stderrTail.trim();
  throw new Error(`${argv.join(' ')}: ${done.kind}: ${why}`);
}

function verified(program: string, architecture: Architecture): string {
  const found = createHash('sha256').update(readFileSync(program)).digest('hex');
  const wanted = pinned.sha256[architecture];
  if (found === wanted) return program;
  const is = `${program} has SHA-256 ${found}; Node ${pinned.version} for ${architecture} has ${wanted}`;
  throw new Error(`${is}. After an update of the package node, pin the new ones in node-runtime.ts.`);
}
