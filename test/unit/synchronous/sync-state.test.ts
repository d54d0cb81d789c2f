/** What a standby says of itself to `/sync` and `/quorum`. */
import { expect, test } from 'vitest';
import { asynchronous, type SynchronousSet } from '../../../core/model/lease.ts';
import { syncStateOf } from '../../../core/synchronous/sync-state.ts';

const any: SynchronousSet = { mode: 'on', method: 'any', k: 1, names: ['b', 'c'], next: null };

test.each<[string, SynchronousSet | null, boolean, boolean]>([
  ['no lease', null, false, false],
  ['off', { ...any, mode: 'off' }, false, false],
  ['alone', { ...asynchronous, mode: 'on' }, false, false],
  ['not named', { ...any, names: ['c'] }, false, false],
  ['one of a quorum', any, false, true],
  ['all are waited for', { ...any, k: 2 }, true, true],
  ['the first', { ...any, method: 'first' }, true, false],
  ['not among the first', { ...any, method: 'first', names: ['c', 'b'] }, false, false],
  ['about to be dropped', { ...any, next: { ...any, names: ['c'] } }, false, false],
  ['about to count for nothing', { ...any, next: asynchronous }, false, false],
  ['staying', { ...any, next: { ...any, k: 2 } }, false, true],
])('%s', (_what, set, sync, quorum) => {
  expect(syncStateOf(set, 'b')).toEqual({ sync, quorum });
});
