/**
 * A data volume of a host's own, as EBS would be: an ext4 file system in a file beside it, mounted through a loop device, so that a
 * disk can be full or frozen without the machine noticing. Needs root. What is mounted below a cluster's hosts is what
 * /proc/self/mounts says, so that the volumes of a killed runtime are found and taken down too.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { RunAs } from '../../adapters/process.ts';
import { CannotStart } from './cluster-state.ts';

const toolTimeoutMs = 20_000;
const toolEnvironment = { PATH: `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`, LANG: 'C' };
const attempts = 20;

/** Where a volume is mounted, and the file that holds it. */
export interface VolumePlace {
  readonly folder: string;
  readonly image: string;
}

/** The data volume of the host whose disk is that folder. */
export function volumePlace(hostFolder: string): VolumePlace {
  return { folder: join(hostFolder, 'data'), image: join(hostFolder, 'data.ext4') };
}

/** Mounts it, making it first where there is none; one that is mounted stays. Throws CannotStart for what its owner can mend. */
export function mountVolume({ folder, image }: VolumePlace, megabytes: number, runAs: RunAs | null): void {
  if (isMounted(folder)) return;
  if (process.getuid?.() !== 0) throw new CannotStart('volumeMb: volumes of their own need root');
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  if (readdirSync(folder).length > 0) {
    throw new CannotStart(
      `volumeMb: ${folder} holds data that is on no volume: \`leasehold down --remove-data\``,
    );
  }
  try {
    if (!existsSync(image)) {
      writeFileSync(image, '', { mode: 0o600 });
      truncateSync(image, megabytes * 1024 * 1024);
      // Nothing is kept back for root: a full disk is full for all.
      runTool('mkfs.ext4', '-q', '-F', '-m', '0', image);
    }
    runTool('mount', '-o', 'loop', image, folder);
  } catch (error) {
    throw new CannotStart(`volumeMb: ${(error as Error).message.trim()}`);
  }
  if (runAs !== null) chownSync(folder, runAs.uid, runAs.gid);
}

/** Takes the mounted volume of a host that is down, checks its file system and mounts it again. Throws with what the programs say. */
export function remountVolume({ folder, image }: VolumePlace): void {
  unmount(folder);
  // 1: errors were corrected.
  const { status, stdout, stderr } = spawnSync('e2fsck', ['-p', image], {
    encoding: 'utf8',
    timeout: toolTimeoutMs,
    env: toolEnvironment,
  });
  if (status !== 0 && status !== 1) throw new Error(`e2fsck ${image}: ${stdout}${stderr}`.trim());
  runTool('mount', '-o', 'loop', image, folder);
}

export function isMounted(folder: string): boolean {
  return mountPoints().includes(folder);
}

/** Takes down every volume below that folder, a frozen one too: it is thawed first. Nothing runs there any more. */
export function unmountVolumes(below: string): void {
  for (const folder of mountPoints().filter((place) => place.startsWith(`${below}/`))) {
    try {
      runTool('fsfreeze', '--unfreeze', folder);
    } catch {
      // It was not frozen.
    }
    unmount(folder);
  }
}

/** Somebody's shell may stand in it: then it is gone once they leave, and from this name now. */
function unmount(folder: string): void {
  for (let attempt = 1; attempt <= attempts && isMounted(folder); attempt += 1) {
    try {
      runTool('umount', ...(attempt === attempts ? ['--lazy'] : []), folder);
    } catch (error) {
      if (attempt === attempts) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
  }
}

/** As the kernel has them, with its escapes of spaces undone. */
function mountPoints(): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .map((place) =>
      place.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8))),
    );
}

function runTool(program: string, ...args: string[]): void {
  execFileSync(program, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: toolTimeoutMs,
    env: toolEnvironment,
  });
}
