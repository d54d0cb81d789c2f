/**
 * The watchdog device on a FIFO in its place: what was written is read back, which is all of the device's interface that matters.
 * Opening arms, each byte pings, a V before the close disarms (F3).
 */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Watchdog } from '../../agent/watchdog.ts';

let folder: string;
let device: string;
let reader: number;
let logged: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-watchdog-'));
  device = join(folder, 'device');
  execFileSync('mkfifo', [device]);
  reader = openSync(device, constants.O_RDONLY | constants.O_NONBLOCK);
  logged = [];
});
afterEach(() => {
  closeSync(reader);
  rmSync(folder, { recursive: true, force: true });
});

const mark = () => join(folder, 'armed');
const watchdog = (path: string | null = device): Watchdog =>
  new Watchdog({ path, mark: mark(), log: (level, message) => logged.push(`${level} ${message}`) });
const hold = (sentAtMs: number, epoch = 1) => ({ epoch, sentAtMs, ttlMs: 2_000 });

/** What the device was sent since it was looked at last. */
function written(): string {
  const buffer = Buffer.alloc(100);
  try {
    return buffer.toString('latin1', 0, readSync(reader, buffer));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return '';
    throw error;
  }
}

describe('the watchdog', () => {
  it('is left alone until a lease is proven to be held', () => {
    const dog = watchdog();
    dog.notWritable();
    expect(dog.isArmed()).toBe(false);
    expect(written()).toBe('');
    expect(existsSync(mark())).toBe(false);
  });

  it('is pinged once by each renewal, and by nothing that is told twice or late', () => {
    const dog = watchdog();
    dog.proven(hold(100));
    expect(written()).toBe('1');
    dog.proven(hold(100));
    dog.proven(hold(90));
    expect(written()).toBe('');
    dog.proven(hold(600));
    dog.proven(hold(50, 2));
    expect(written()).toBe('11');
    expect(existsSync(mark())).toBe(true);
  });

  it('is disarmed when PostgreSQL is known not to be writable, and armed anew by the next lease', () => {
    const dog = watchdog();
    dog.proven(hold(100));
    dog.notWritable();
    expect(written()).toBe('1V');
    expect(dog.isArmed()).toBe(false);
    expect(existsSync(mark())).toBe(false);
    dog.notWritable();
    expect(written()).toBe('');
    dog.proven(hold(100));
    expect(written()).toBe('1');
  });

  it('that a dead agent left armed is disarmed by its successor, once PostgreSQL is down', () => {
    watchdog().proven(hold(100));
    expect(written()).toBe('1');
    const successor = watchdog();
    expect(written()).toBe('');
    successor.notWritable();
    expect(written()).toBe('V');
    expect(existsSync(mark())).toBe(false);
  });

  it('that a dead agent left armed is pinged on by a successor that proves the lease', () => {
    watchdog().proven(hold(100));
    watchdog().proven(hold(700));
    expect(written()).toBe('11');
  });

  it.each([
    ['is not there', () => join(folder, 'nothing'), ['info watchdog cannot be opened']],
    ['is a folder', () => folder, ['warn watchdog cannot be opened']],
  ])('that %s hinders nothing, and is told of once', (_what, path, told) => {
    const dog = watchdog(path());
    for (let beat = 0; beat < 3; beat += 1) dog.proven(hold(100 * beat));
    dog.notWritable();
    expect(dog.isArmed()).toBe(false);
    expect(logged).toEqual(told);
    expect(existsSync(mark())).toBe(false);
  });

  it('is not touched where none is to be used', () => {
    const dog = watchdog(null);
    dog.proven(hold(100));
    expect(dog.isArmed()).toBe(false);
    expect(logged).toEqual([]);
  });
});
