/**
 * Faults of a database host's disk, of a cluster whose hosts have volumes of their own (`volumeMb` in the cluster file, as root):
 * full to the last byte; frozen, so that every write and every sync hangs until it is thawed; made read-only by the kernel, as after an
 * I/O error.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterHandle } from '../runtime/cluster-handle.ts';
import { isMounted, remountVolume, volumePlace } from '../runtime/volume.ts';
import type { Fault, FaultRole, Undo } from './fault.ts';
import { freezeVolume } from './frozen-volume.ts';
import { hostFolder } from './host-parts.ts';
import { boot } from './processes.ts';

/** Where the data of a host with a volume of its own is mounted. */
export function volumeOf(cluster: ClusterHandle, host: string): string {
  const folder = join(hostFolder(cluster, host), 'data');
  if (!isMounted(folder))
    throw new Error(`${host} has no volume of its own: it needs volumeMb in the cluster file`);
  return folder;
}

const fillTimeoutMs = 20_000;
/** So much is written byte by byte: allocating all that is said to be free fails for want of room to note it. */
const lastBytes = 4 * 1024 * 1024;

/** Takes all space that is left but `leaveBytes`, as any other program could. The undo gives it back. */
export function fillVolume(folder: string, leaveBytes = 0): Undo {
  const most = join(folder, 'ballast.most');
  const rest = join(folder, 'ballast.rest');
  const { bavail, bsize } = statfsSync(folder);
  const atOnce = bavail * bsize - (leaveBytes === 0 ? lastBytes : leaveBytes);
  if (atOnce > 0) execFileSync('fallocate', ['-l', String(atOnce), most], { stdio: 'ignore' });
  // It ends when nothing goes in any more, which is what it is for.
  if (leaveBytes === 0)
    spawnSync('dd', ['if=/dev/zero', `of=${rest}`, 'bs=4k'], { stdio: 'ignore', timeout: fillTimeoutMs });
  return async () => {
    for (const path of [most, rest]) rmSync(path, { force: true });
  };
}

/**
 * What ext4 does by itself after an I/O error: the journal is aborted, and every write fails from then on. It never comes back by
 * itself. The undo is an operator's: the host goes down, its file system is checked and mounted anew, the host boots.
 */
async function abortVolume(cluster: ClusterHandle, host: string): Promise<Undo> {
  const folder = volumeOf(cluster, host);
  execFileSync('mount', ['-o', 'remount,abort', folder], { stdio: 'pipe', timeout: fillTimeoutMs });
  return async () => {
    await cluster.killHost(host);
    remountVolume(volumePlace(hostFolder(cluster, host)));
    await boot(cluster, host);
  };
}

type DiskTrouble = Pick<Fault, 'what' | 'apply'> & { readonly name: string };

const troubles: readonly DiskTrouble[] = [
  {
    name: 'full',
    what: 'no byte is left on the volume',
    apply: async (cluster, host) => fillVolume(volumeOf(cluster, host)),
  },
  {
    name: 'frozen',
    what: 'every write and sync on the volume hangs',
    apply: (cluster, host) => freezeVolume(volumeOf(cluster, host)),
  },
  {
    name: 'read-only',
    what: 'the volume has turned read-only, as after an I/O error',
    apply: abortVolume,
  },
];

/** Not among the faults that are drawn: most clusters have no volumes. */
export const diskFaults: readonly Fault[] = (['primary', 'standby'] satisfies FaultRole[]).flatMap(
  (strikes) =>
    troubles.map(
      ({ name, what, apply }): Fault => ({
        id: `${strikes}-disk-${name}`,
        what: `${what} of the ${strikes}`,
        needs: 'volume',
        strikes,
        apply,
      }),
    ),
);
