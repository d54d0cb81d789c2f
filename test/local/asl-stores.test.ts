// Where executions are kept, when that goes wrong: a store that is full, and the half-written lines that a death can
// leave in a file.

import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Execution, foldRecords, type JournalRecord } from '../../adapters/asl/execution.ts';
import { createMemoryStore, type ExecutionStore, StoreError } from '../../adapters/asl/execution-store.ts';
import { AslTaskError } from '../../adapters/asl/failure.ts';
import { createFileStore } from '../../adapters/asl/file-store.ts';
import type { Json, JsonObject } from '../../adapters/asl/json.ts';
import { call, callAndWait, chainProblems, createFakeClock, createHarness, settle } from './asl-harness.ts';

describe('a store that cannot write', () => {
  const failing = (inner: ExecutionStore, isFull: () => boolean): ExecutionStore => ({
    ...inner,
    append(key, record) {
      if (isFull()) throw new StoreError('no space left on device');
      inner.append(key, record);
    },
  });

  it('starts nothing, and accepts no answer that it cannot keep', async () => {
    let full = true;
    const h = createHarness(async () => null, { store: failing(createMemoryStore(), () => full) });
    expect(() => h.start({ StartAt: 'Act', States: { Act: callAndWait('act') } })).toThrow(StoreError);
    full = false;
    const arn = h.start({ StartAt: 'Act', States: { Act: callAndWait('act') } });
    await settle();
    full = true;
    const token = h.invocations[0]?.taskToken ?? '';
    expect(() => h.engine.answer(token, { kind: 'succeeded', result: 1 })).toThrow(StoreError);
    full = false;
    expect(h.engine.answer(token, { kind: 'succeeded', result: 2 })).toBe('accepted');
    await settle();
    expect(h.output(arn)).toBe(2);
  });

  it('does not bring back a lane that was stopped while its record waited to be written', async () => {
    let full = false;
    const store = createMemoryStore();
    let fail: (error: Error) => void = () => {};
    const Both = {
      Type: 'Parallel',
      Branches: [
        { StartAt: 'Nap', States: { Nap: { Type: 'Wait', Seconds: 1, End: true } } },
        { StartAt: 'Ask', States: { Ask: call('f') } },
      ],
      Catch: [{ ErrorEquals: ['Broken'], Next: 'Later' }],
      End: true,
    };
    const Later = { Type: 'Wait', Seconds: 60, Output: 'later', End: true };
    const h = createHarness(
      () =>
        new Promise((_, reject) => {
          fail = reject;
        }),
      { store: failing(store, () => full) },
    );
    const arn = h.start({ StartAt: 'Both', States: { Both, Later } });
    await settle();
    full = true;
    await h.clock.advance(1500);
    full = false;
    fail(new AslTaskError('Broken'));
    await h.clock.advance(1000);
    const lanes = [...(foldRecords(store.read('failover/one'))?.lanes ?? [])];
    expect(lanes.map(([id, lane]) => [id, lane.id, lane.stateName])).toEqual([[1, 1, 'Later']]);
    const again = createHarness(undefined, { store, clock: createFakeClock(h.clock.now()) });
    again.engine.resume();
    await again.clock.advance(60_000);
    expect(again.output(arn)).toBe('later');
    expect(chainProblems(again.events(arn))).toEqual([]);
  });

  it('delays what comes from inside by a second, and loses neither a result nor a transition', async () => {
    let full = false;
    const faults: string[] = [];
    let answer: (value: Json) => void = () => {};
    const h = createHarness(
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
      {
        store: failing(createMemoryStore(), () => full),
        onFault: (_arn, error) => faults.push(error.message),
      },
    );
    const arn = h.start({
      StartAt: 'Ask',
      States: { Ask: call('f', {}, { Next: 'Next' }), Next: { Type: 'Pass', End: true } },
    });
    await settle();
    full = true;
    answer('kept');
    await h.clock.advance(2500);
    expect(faults).toHaveLength(3);
    full = false;
    await h.clock.advance(1000);
    expect(h.output(arn)).toBe('kept');
    expect(chainProblems(h.events(arn))).toEqual([]);
  });
});

describe('the file store', () => {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });
  const temporary = () => {
    const folder = mkdtempSync(join(tmpdir(), 'asl-store-'));
    folders.push(folder);
    return folder;
  };
  const journalIn = (folder: string) => join(folder, readdirSync(folder)[0] ?? '', 'journal.jsonl');
  const two: JsonObject = {
    StartAt: 'Act',
    States: { Act: callAndWait('act', { Next: 'Done' }), Done: { Type: 'Succeed' } },
  };

  it('drops a last line that was cut off, and later records follow what was whole', async () => {
    const folder = temporary();
    const h = createHarness(async () => null, { store: createFileStore(folder) });
    const arn = h.start(two);
    await settle();
    const journal = journalIn(folder);
    const whole = readFileSync(journal, 'utf8');
    const lines = whole.trimEnd().split('\n').length;
    appendFileSync(journal, '{"lanes":[[1,{"phase":{"kind":"succ');
    const again = createHarness(async () => null, { store: createFileStore(folder) });
    expect(again.engine.resume()).toEqual({ resumed: [arn], damaged: [] });
    expect(readFileSync(journal, 'utf8')).toBe(whole);
    again.engine.answer(h.invocations[0]?.taskToken ?? '', { kind: 'succeeded', result: 1 });
    await settle();
    expect(again.output(arn)).toBe(1);
    const after = readFileSync(journal, 'utf8').trimEnd().split('\n');
    expect(after.length).toBeGreaterThan(lines);
    for (const line of after) expect(() => JSON.parse(line)).not.toThrow();
  });

  it('cut at every byte of its last record gives the state before or after it', async () => {
    const folder = temporary();
    const h = createHarness(undefined, { store: createFileStore(folder) });
    const arn = h.start(two);
    await settle();
    const journal = journalIn(folder);
    const whole = readFileSync(journal);
    const lastStart = whole.lastIndexOf('\n', whole.length - 2) + 1;
    for (let length = lastStart; length <= whole.length; length += 1) {
      writeFileSync(journal, whole.subarray(0, length));
      const again = createHarness(undefined, { store: createFileStore(folder) });
      expect(again.engine.resume()).toEqual({ resumed: [arn], damaged: [] });
      again.engine.close();
    }
  });

  it('reports a journal with a broken line inside and goes on with the others', async () => {
    const folder = temporary();
    const h = createHarness(async () => null, { store: createFileStore(folder) });
    h.start(two, {}, 'bad');
    await settle();
    const journal = journalIn(folder);
    const good = h.start(two, {}, 'good');
    await settle();
    const [first, ...rest] = readFileSync(journal, 'utf8').split('\n');
    writeFileSync(journal, [first, 'garbage', ...rest].join('\n'));
    const report = createHarness(async () => null, { store: createFileStore(folder) }).engine.resume();
    expect(report.resumed).toEqual([good]);
    expect(report.damaged).toEqual([
      { key: 'failover/bad', reason: expect.stringMatching(/line 2 cannot be read/) },
    ]);
  });

  it('takes an execution whose end was written but not yet summarised as closed', async () => {
    const folder = temporary();
    const h = createHarness(undefined, { store: { ...createFileStore(folder), close: () => {} } });
    const arn = h.start({ StartAt: 'Done', States: { Done: { Type: 'Succeed' } } });
    await settle();
    const again = createHarness(undefined, { store: createFileStore(folder) });
    expect(again.engine.resume()).toEqual({ resumed: [], damaged: [] });
    expect(again.execution(arn).status).toBe('SUCCEEDED');
    expect(createFileStore(folder).list()).toMatchObject([{ summary: { status: 'SUCCEEDED' } }]);
  });

  it('keeps executions apart whatever their names, and forgets the oldest beyond its bound', async () => {
    const folder = temporary();
    const h = createHarness(undefined, { store: createFileStore(folder), mostClosed: 3 });
    const names = ['..', '.', 'ä'.repeat(80), 'a+b', 'c@d'];
    const arns = names.map((name) =>
      h.start({ StartAt: 'Done', States: { Done: { Type: 'Succeed', Output: name } } }, {}, name),
    );
    await settle();
    expect(readdirSync(folder)).toHaveLength(3);
    const again = createHarness(undefined, { store: createFileStore(folder) });
    again.engine.resume();
    expect(arns.map((arn) => again.engine.describe(arn)?.output)).toEqual([
      undefined,
      undefined,
      ...names.slice(2).map((name) => JSON.stringify(name)),
    ]);
    expect(again.transcript(arns[4] ?? '')).toHaveLength(4);
  });

  it('continues after a write that failed half-way', () => {
    const folder = temporary();
    const store = createFileStore(folder);
    const record = (name: string): JournalRecord => ({ execution: { name } as Execution });
    store.append('m/x', record('1'));
    const journal = journalIn(folder);
    const folderOfIt = join(folder, readdirSync(folder)[0] ?? '');
    rmSync(folderOfIt, { recursive: true });
    expect(() => store.append('m/x', record('2'))).toThrow(StoreError);
    createFileStore(folder).append('m/x', record('1'));
    appendFileSync(journal, '{"half');
    store.append('m/x', record('3'));
    expect(store.read('m/x')).toEqual([record('1'), record('3')]);
  });
});
