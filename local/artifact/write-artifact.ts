/**
 * The artifact of a host: one tar.gz with the agent's bundle, its scripts and units, and a Node of its own, so that a host needs nothing
 * but bash and systemd. The same sources give the same bytes: files are sorted, and have one time and one owner. Its version ends in a hash
 * of what is in it, so that two artifacts of one version are one.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { runProgram } from '../../adapters/process.ts';
import { bundleAgent } from '../runtime/bundle-agent.ts';

export interface ArtifactSources {
  readonly checkout: string;
  /** The program that becomes `node/bin/node`. */
  readonly nodeProgram: string;
  /** In the file's name: `arm64` or `x64`. */
  readonly architecture: string;
}

export interface WrittenArtifact {
  readonly path: string;
  /** As `VERSION` in it: of package.json, a hyphen, twelve digits of its content's hash. */
  readonly version: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Place in the artifact, and in the checkout. Programs are executable by their place: `bin/` and `install.sh`. */
const files: Readonly<Record<string, string>> = {
  'install.sh': 'host/install.sh',
  'bin/leasehold-agent': 'host/leasehold-agent',
  'bin/boot.py': 'host/boot.py',
  'bin/stop-agent.sh': 'host/stop-agent.sh',
  'bin/upgrade.sh': 'host/upgrade.sh',
  'bin/run-init-script.sh': 'host/run-init-script.sh',
  'systemd/leasehold-agent.service': 'host/leasehold-agent.service',
  'systemd/leasehold-init.service': 'host/leasehold-init.service',
  'hosts.md': 'docs/hosts.md',
  LICENSE: 'LICENSE',
};

const tarTimeoutMs = 120_000;

/** Writes it into `folder`, replacing one of that name. */
export async function writeArtifact(sources: ArtifactSources, folder: string): Promise<WrittenArtifact> {
  const { checkout, nodeProgram, architecture } = sources;
  const draft = join(folder, `.artifact-${architecture}.${process.pid}`);
  rmSync(draft, { recursive: true, force: true });
  try {
    for (const place of ['agent', 'bin', 'systemd', 'node/bin'])
      mkdirSync(join(draft, place), { recursive: true });
    await bundleAgent(join(draft, 'agent'));
    for (const [place, source] of Object.entries(files))
      copyFileSync(join(checkout, source), join(draft, place));
    copyFileSync(nodeProgram, join(draft, 'node/bin/node'));
    const version = seal(draft, packageVersion(checkout));
    const tar = `${draft}.tar`;
    await pack(draft, tar);
    const bytes = gzipSync(readFileSync(tar), { level: 9 });
    rmSync(tar);
    const path = join(folder, `leasehold-agent-${version}-linux-${architecture}.tar.gz`);
    writeFileSync(`${path}.new`, bytes);
    renameSync(`${path}.new`, path);
    return { path, version, bytes: bytes.length, sha256: sha256Of(bytes) };
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** Sets modes, writes SHA256SUMS (as sha256sum checks them) and VERSION; returns the version. */
function seal(draft: string, version: string): string {
  const names = readdirSync(draft, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(draft, join(entry.parentPath, entry.name)))
    .sort();
  const sums = names.map((name) => {
    chmodSync(join(draft, name), /^(bin|node\/bin)\/|^install\.sh$/.test(name) ? 0o755 : 0o644);
    return `${sha256Of(readFileSync(join(draft, name)))}  ${name}\n`;
  });
  writeFileSync(join(draft, 'SHA256SUMS'), sums.join(''), { mode: 0o644 });
  const sealed = `${version}-${sha256Of(sums.join('')).slice(0, 12)}`;
  writeFileSync(join(draft, 'VERSION'), `${sealed}\n`, { mode: 0o644 });
  return sealed;
}

async function pack(folder: string, tar: string): Promise<void> {
  const same = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--mode=go-w,a+rX'];
  const argv = ['tar', ...same, '--format=ustar', '-cf', tar, '-C', folder, '.'];
  const done = await runProgram(argv, { timeoutMs: tarTimeoutMs });
  if (done.kind !== 'exited' || done.exitCode !== 0) throw new Error(`tar: ${JSON.stringify(done)}`);
}

function packageVersion(checkout: string): string {
  const { version } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string };
  return version;
}

function sha256Of(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}
