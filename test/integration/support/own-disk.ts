/**
 * A small disk of its own for one node of a cluster, so that it can be filled or frozen without the machine noticing: an ext4 file
 * system in a file, mounted through a loop device. Needs root and the programs of util-linux and e2fsprogs, and says so where they
 * are missing; nothing is skipped.
 */
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ClusterHandle } from '../../../local/runtime/cluster-handle.ts';
import { isMounted, remountVolume } from '../../../local/runtime/volume.ts';
import { dataDirectoryOf } from './operations.ts';

export interface OwnDisk {
  /** Takes all space but `leaveBytes`, as any other program could. */
  fill(leaveBytes: number): void;
  free(): void;
  /** The kernel takes no more writes, as after an I/O error. */
  turnReadOnly(): void;
  /** Checks and mounts it anew, as an operator of a host that is down. */
  repair(): void;
  freeze(): void;
  thaw(): void;
  /** After the cluster is down. */
  close(): void;
}

/** Moves the data of a node, whose host is killed and booted again for it, to a disk of `bytes`. */
export async function giveOwnDisk(cluster: ClusterHandle, node: string, bytes: number): Promise<OwnDisk> {
  const place = dirname(await dataDirectoryOf(cluster, node));
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-disk-'));
  const image = join(folder, 'image');
  writeFileSync(image, '');
  truncateSync(image, bytes);
  run('mkfs.ext4', '-q', '-F', '-m', '0', image);
  await cluster.killHost(node);
  const aside = `${place}.aside`;
  const { uid, gid, mode } = statSync(place);
  renameSync(place, aside);
  mkdirSync(place);
  run('mount', '-o', 'loop', image, place);
  run('chown', `${uid}:${gid}`, place);
  run('chmod', (mode & 0o7777).toString(8), place);
  // -a: owners and rights; the folder's own content only.
  run('cp', '-a', `${aside}/.`, place);
  rmSync(aside, { recursive: true });
  await cluster.bootHost(node);
  let frozen = false;
  const ballast = join(place, 'ballast');
  const thaw = (): void => {
    if (frozen) run('fsfreeze', '--unfreeze', place);
    frozen = false;
  };
  return {
    fill: (leaveBytes) => {
      const { bavail, bsize } = statfsSync(place);
      run('fallocate', '-l', String(bavail * bsize - leaveBytes), ballast);
    },
    free: () => rmSync(ballast, { force: true }),
    turnReadOnly: () => run('mount', '-o', 'remount,abort', place),
    repair: () => remountVolume({ folder: place, image }),
    freeze: () => {
      run('fsfreeze', '--freeze', place);
      frozen = true;
    },
    thaw,
    close: () => {
      thaw();
      // A cluster that goes down takes what is mounted below its hosts with it.
      if (isMounted(place)) run('umount', '--lazy', place);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function run(program: string, ...args: string[]): void {
  execFileSync(program, args, {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
  });
}
