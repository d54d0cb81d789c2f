/** What a fence command does to the PostgreSQL that it finds: kills what may be of its epoch, and leaves a newer one alone (F2). */
import { expect, test } from 'vitest';
import { decideFenceCommand } from '../../core/host/decide-fence-command.ts';

test.each([
  ['of this very epoch', 4, 'kill', 'opened-at-or-below'],
  ['of an older one', 3, 'kill', 'opened-at-or-below'],
  ['of a host that never held data', 0, 'kill', 'opened-at-or-below'],
  ['of a newer one, because the command is late', 5, 'leave', 'opened-later'],
  ['of an epoch that cannot be read', null, 'kill', 'epoch-unreadable'],
] as const)('a PostgreSQL %s', (_what, dataEpoch, order, rule) => {
  expect(decideFenceCommand({ epoch: 4, dataEpoch })).toMatchObject({ order, rule });
});
