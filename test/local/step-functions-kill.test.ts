// A real process, really killed: by SIGKILL, at the very record or in the middle of a task, before, in and after each kind
// of state. The next process must bring the execution to the same end, with the same token, and repeat at most what was
// in flight.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';

const child = fileURLToPath(new URL('step-functions-child.ts', import.meta.url));
const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

interface Life {
  /** The event on which the process kills itself. */
  dieAt?: string;
  /** The line on which it is killed from outside. */
  killAt?: string;
}

/** Runs one process over the folder, answering the token once it was handed out. Returns everything it printed. */
async function life(folder: string, { dieAt, killAt }: Life): Promise<string[]> {
  const args = [child, folder, ...(dieAt === undefined ? [] : [dieAt])];
  const started = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(started, 'exit');
  // Writing to a process that has just died is part of this test.
  started.stdin.on('error', () => {});
  const lines: string[] = [];
  for await (const line of createInterface({ input: started.stdout })) {
    lines.push(line);
    if (line === killAt) started.kill('SIGKILL');
    if (line === 'ready' || line === 'TaskSubmitted')
      started.stdin.write(`${textIn(join(folder, 'token'))}\n`);
  }
  const [code, signal] = await exited;
  expect((dieAt ?? killAt) ? signal : code).toBe((dieAt ?? killAt) ? 'SIGKILL' : 0);
  return lines;
}

function textIn(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Lets one process die and another finish; returns the calls that both made. */
async function twoLives(first: Life): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'step-functions-'));
  folders.push(folder);
  expect(await life(folder, first)).toContain(first.dieAt ?? first.killAt);
  expect(await life(folder, {})).toContain('closed SUCCEEDED {"slow":"slow","each":["a","b","c"]}');
  const calls = textIn(join(folder, 'calls')).trim().split('\n');
  const token = textIn(join(folder, 'token'));
  expect(new Set(calls)).toEqual(new Set(['slow slow', `act ${token}`, 'slow a', 'slow b', 'slow c']));
  return calls;
}

describe('Step Functions in a process that is killed', () => {
  it.each([
    ['as soon as the execution has started', 'ExecutionStarted'],
    ['between two states', 'PassStateExited'],
    ['just before a task is invoked', 'TaskStarted'],
    ['just after a task has ended', 'TaskSucceeded'],
    ['while it waits for a token', 'TaskSubmitted'],
    ['while it waits for a time', 'WaitStateEntered'],
    ['before its iterations have done anything', 'MapIterationStarted'],
    ['when all iterations are done', 'MapStateSucceeded'],
    ['at its end', 'ExecutionSucceeded'],
  ])('%s goes on in the next, and repeats nothing', async (_when, dieAt) => {
    expect(await twoLives({ dieAt })).toHaveLength(5);
  });

  it('between two iterations repeats at most the one in flight', async () => {
    expect((await twoLives({ dieAt: 'MapIterationSucceeded' })).length).toBeLessThanOrEqual(6);
  });

  it('in the middle of a task invokes that task again', async () => {
    const calls = await twoLives({ killAt: 'called' });
    expect(calls.filter((line) => line === 'slow slow')).toHaveLength(2);
    expect(calls).toHaveLength(6);
  });

  it('just after it accepted an answer has kept it', async () => {
    expect((await twoLives({ killAt: 'accepted' })).filter((line) => line.startsWith('act'))).toHaveLength(1);
  });
});
