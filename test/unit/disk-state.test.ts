// What a host must not forget survives crashes and other processes; the bar only rises.

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { barHost, DiskState, writeDurably } from '../../agent/disk-state.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-state-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const nothing = {
  ...{ highestEpoch: 0, fencedEpoch: 0, dataEpoch: 0 },
  ...{ receiverEnded: null, bootstrapNonce: null },
};
const module = new URL('../../agent/disk-state.ts', import.meta.url).href;

/** Runs `code` with `barHost` and `folder` in a process of its own. */
const inProcess = (code: string): Promise<unknown> =>
  promisify(execFile)(process.execPath, [
    '--input-type=module',
    '-e',
    `import { barHost, DiskState } from ${JSON.stringify(module)}; const folder = ${JSON.stringify(folder)}; ${code}`,
  ]);

describe('a host whose data is adopted', () => {
  it('begins anew: what it saw of another cluster is set aside, the bars too, and bars that come later hold', () => {
    const state = new DiskState(folder);
    state.enterEpoch(7);
    state.bar(7);
    state.beginAnew('adopt-1');
    const anew = { ...nothing, bootstrapNonce: 'adopt-1' };
    expect(state.facts()).toEqual(anew);
    expect(new DiskState(folder).facts()).toEqual(anew);
    const [aside = ''] = readdirSync(folder).filter((name) => name.startsWith('barred.before-'));
    expect(readdirSync(join(folder, aside))).toEqual(['7']);
    state.bar(2);
    state.beginAnew('adopt-1');
    expect(new DiskState(folder).facts().bootstrapNonce).toBe('adopt-1');
  });
});

describe("a host's durable facts", () => {
  it('are nothing at first, and what was noted afterwards, in every process', () => {
    const state = new DiskState(join(folder, 'new'));
    expect(state.facts()).toEqual({
      highestEpoch: 0,
      fencedEpoch: 0,
      dataEpoch: 0,
      receiverEnded: null,
      bootstrapNonce: null,
    });
    state.sawEpoch(4);
    state.sawEpoch(3);
    state.dataBelongsTo(4);
    state.dataBelongsTo(2);
    state.endedReceiver({ operation: 'op', epoch: 4 });
    state.bootstrapped('n1');
    state.bar(3);
    const facts = { highestEpoch: 4, fencedEpoch: 3, dataEpoch: 2, bootstrapNonce: 'n1' };
    expect(state.facts()).toMatchObject(facts);
    expect(new DiskState(join(folder, 'new')).facts()).toEqual({
      ...facts,
      receiverEnded: { operation: 'op', epoch: 4 },
    });
  });

  it.each([
    ['torn', '{"highestEpoch":7,"da'],
    ['empty', ''],
    ['no object', 'null'],
    ['without epochs', '{}'],
    ['of another type', '{"highestEpoch":"7","dataEpoch":1}'],
    ['with a receiver of no epoch', '{"highestEpoch":7,"dataEpoch":1,"receiverEnded":{"operation":"op"}}'],
    ['with a nonce that is no text', '{"highestEpoch":7,"dataEpoch":1,"bootstrapNonce":3}'],
  ])('are never guessed from a file that is %s', (_what, text) => {
    writeFileSync(join(folder, 'history.json'), text);
    expect(() => new DiskState(folder)).toThrow();
  });

  it('do not count before they are on disk', () => {
    const state = new DiskState(folder);
    state.sawEpoch(1);
    // The temporary file cannot be made: as on a disk that is full or read-only.
    mkdirSync(join(folder, 'history.json.new'));
    expect(() => state.sawEpoch(2)).toThrow();
    expect(state.facts().highestEpoch).toBe(1);
    rmSync(join(folder, 'history.json.new'), { recursive: true });
    state.sawEpoch(2);
    expect(new DiskState(folder).facts().highestEpoch).toBe(2);
  });

  it('survive a write that was cut off: the old file stays whole', () => {
    const path = join(folder, 'file');
    writeDurably(path, 'old\n');
    writeFileSync(`${path}.new`, 'ne');
    expect(readFileSync(path, 'utf8')).toBe('old\n');
    writeDurably(path, 'new\n');
    expect(readFileSync(path, 'utf8')).toBe('new\n');
    expect(readdirSync(folder)).toEqual(['file']);
  });
});

describe('the bar', () => {
  it('only rises', () => {
    const state = new DiskState(folder);
    for (const [epoch, barred] of [
      [5, 5],
      [3, 5],
      [5, 5],
      [12, 12],
      [9, 12],
    ] as const) {
      state.bar(epoch);
      expect(state.facts().fencedEpoch).toBe(barred);
    }
  });

  it('is seen by a running agent after a fence of another process, when it looks again', async () => {
    const state = new DiskState(folder);
    state.sawEpoch(2);
    await inProcess('barHost(folder, 2);');
    expect(state.facts().fencedEpoch).toBe(0);
    state.reload();
    expect(state.facts()).toMatchObject({ fencedEpoch: 2, highestEpoch: 2 });
    state.sawEpoch(3);
    expect(new DiskState(folder).facts()).toMatchObject({ fencedEpoch: 2, highestEpoch: 3 });
  });

  it('is the highest of all that several processes set at once, and can be read at any moment', async () => {
    const writers = [0, 1, 2].map((writer) =>
      inProcess(`for (let epoch = 40; epoch > 0; epoch -= 1) barHost(folder, 3 * epoch + ${writer});`),
    );
    const state = new DiskState(folder);
    let over = false;
    const done = Promise.all(writers).then(() => {
      over = true;
    });
    let last = 0;
    while (!over) {
      state.reload();
      expect(state.facts().fencedEpoch).toBeGreaterThanOrEqual(last);
      last = state.facts().fencedEpoch;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await done;
    state.reload();
    expect(state.facts().fencedEpoch).toBe(122);
  });

  it('can be set on a host whose other facts cannot be read', () => {
    writeFileSync(join(folder, 'history.json'), 'garbage');
    barHost(folder, 7);
    rmSync(join(folder, 'history.json'));
    expect(new DiskState(folder).facts().fencedEpoch).toBe(7);
  });

  it('is never guessed, and never set to nonsense', () => {
    for (const epoch of [-1, 1.5, Number.NaN]) expect(() => barHost(folder, epoch)).toThrow();
    barHost(folder, 1);
    writeFileSync(join(folder, 'barred', '7.new'), '');
    expect(() => new DiskState(folder)).toThrow(/epoch/);
  });
});
