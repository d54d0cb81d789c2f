/**
 * Faults of a database host's disk, of a cluster whose hosts have volumes of their own (`volumeMb` in the cluster file, as root):
 * full to the last byte, or frozen, so that every write and every sync hangs until it is thawed.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterHandle } from '../runtime/cluster-handle.ts';
import { isMounted } from '../runtime/volume.ts';
import type { Fault, FaultRole, Undo } from './fault.ts';
import { freezeVolume } from './frozen-volume.ts';
import { hostFolder } from './host-parts.ts';

function volumeOf(cluster: ClusterHandle, host: string): string {
  const folder = join(hostFolder(cluster, host), 'data');
  if (!isMounted(folder))
    throw new Error(`${host} has no volume of its own: it needs volumeMb in the cluster file`);
  return folder;
}

const fillTimeoutMs = 20_000;
/** So much is written byte by byte: allocating all that is said to be free fails for want of room to note it. */
const lastBytes = 4 * 1024 * 1024;

/** Takes all space that is left, as any other program could. The undo gives it back. */
export function fillVolume(folder: string): Undo {
  const most = join(folder, 'ballast.most');
  const rest = join(folder, 'ballast.rest');
  const { bavail, bsize } = statfsSync(folder);
  const atOnce = bavail * bsize - lastBytes;
  if (atOnce > 0) execFileSync('fallocate', ['-l', String(atOnce), most], { stdio: 'ignore' });
  // It ends when nothing goes in any more, which is what it is for.
  spawnSync('dd', ['if=/dev/zero', `of=${rest}`, 'bs=4k'], { stdio: 'ignore', timeout: fillTimeoutMs });
  return async () => {
    for (const path of [most, rest]) rmSync(path, { force: true });
  };
}

/** Not among the faults that are drawn: most clusters have no volumes. */
export const diskFaults: readonly Fault[] = (['primary', 'standby'] satisfies FaultRole[]).flatMap(
  (strikes): Fault[] => [
    {
      id: `${strikes}-disk-full`,
      what: `no byte is left on the volume of the ${strikes}`,
      needs: 'root',
      strikes,
      apply: async (cluster, host) => fillVolume(volumeOf(cluster, host)),
    },
    {
      id: `${strikes}-disk-frozen`,
      what: `every write and sync on the volume of the ${strikes} hangs`,
      needs: 'root',
      strikes,
      apply: (cluster, host) => freezeVolume(volumeOf(cluster, host)),
    },
  ],
);
