/**
 * Volumes of a host's own, full and frozen: that a write really fails or hangs, that it goes on after the undo, and that a volume is
 * thawed whatever becomes of the process that froze it. No servers.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sendSignal } from '../../adapters/process.ts';
import { fillVolume } from '../../local/faults/disk.ts';
import { freezeVolume } from '../../local/faults/frozen-volume.ts';
import { isMounted, mountVolume, unmountVolumes } from '../../local/runtime/volume.ts';

const isRoot = process.getuid?.() === 0;
const base = mkdtempSync(join(tmpdir(), 'leasehold-volume-'));
const folder = join(base, 'node1', 'a folder');
const image = join(base, 'image');

beforeAll(() => {
  if (isRoot) mountVolume({ folder, image }, 256, null);
});
afterAll(() => {
  unmountVolumes(base);
  rmSync(base, { recursive: true, force: true });
});
beforeEach((context) => {
  if (!isRoot) context.skip('mounting needs root');
});

/** In a process of its own: a hanging write must not hang the test. */
function write(name: string): { readonly done: Promise<number | null>; ended: boolean } {
  const child = spawn('dd', ['if=/dev/zero', `of=${join(folder, name)}`, 'bs=64k', 'count=1', 'conv=fsync'], {
    stdio: 'ignore',
    env: { ...process.env, LANG: 'C' },
  });
  const writing = {
    ended: false,
    done: new Promise<number | null>((resolve) => {
      child.once('exit', (code) => {
        writing.ended = true;
        resolve(code);
      });
    }),
  };
  return writing;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a volume of its own', () => {
  it('is there once, and stays as it is when it is asked for again', () => {
    expect(isMounted(folder)).toBe(true);
    writeFileSync(join(folder, 'kept'), 'x');
    mountVolume({ folder, image }, 256, null);
    expect(existsSync(join(folder, 'kept'))).toBe(true);
  });

  it('that is full takes no byte more, until the fault is undone', async () => {
    const undo = fillVolume(folder);
    expect(await write('one').done).not.toBe(0);
    await undo();
    expect(await write('one').done).toBe(0);
  });

  it('that is frozen lets a write wait, and go on once it is thawed', async () => {
    const thaw = await freezeVolume(folder);
    const writing = write('two');
    await pause(300);
    expect(writing.ended).toBe(false);
    await thaw();
    expect(await writing.done).toBe(0);
  });

  it('is thawed when the process that froze it is killed', async () => {
    const script = `
      const { freezeVolume } = await import(${JSON.stringify(new URL('../../local/faults/frozen-volume.ts', import.meta.url).href)});
      await freezeVolume(${JSON.stringify(folder)});
      console.log('frozen');
      setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    const writing = write('three');
    await pause(300);
    expect(writing.ended).toBe(false);
    if (holder.pid !== undefined) sendSignal(holder.pid, 'SIGKILL');
    expect(await writing.done).toBe(0);
  });

  it('is the only thing that can be frozen: never the file system that a folder happens to be on', async () => {
    await expect(freezeVolume(base)).rejects.toThrow(/could not be frozen: .*is not a mountpoint/);
  });

  it('cannot be frozen twice, and says so', async () => {
    const thaw = await freezeVolume(folder);
    await expect(freezeVolume(folder)).rejects.toThrow(/could not be frozen/);
    await thaw();
    expect(await write('four').done).toBe(0);
  });

  it('is taken down although it is frozen, and its data is there when it is mounted again', async () => {
    writeFileSync(join(folder, 'data'), 'y');
    const thaw = await freezeVolume(folder);
    unmountVolumes(base);
    expect(isMounted(folder)).toBe(false);
    await thaw().catch(() => undefined);
    expect(existsSync(join(folder, 'data'))).toBe(false);
    mountVolume({ folder, image }, 256, null);
    expect(existsSync(join(folder, 'data'))).toBe(true);
  });
});
