/** A restart in place is counted before it is tried: one that throws, as on a disk that takes no writes, must not be tried for ever. */
import { expect, it } from 'vitest';
import { executeOrder, type OrderContext } from '../../agent/database/orders.ts';
import { decideHost } from '../../core/host/decide.ts';
import { aPrimary } from '../support/host-states.ts';

it.each([
  ['what throws', () => Promise.reject(new Error('Read-only file system'))],
  ['what ends without a server', async () => ({ remaining: [4711] })],
])('%s counts as one', async (_what, killAll) => {
  const state = aPrimary({ postgres: { kind: 'stopped' } });
  let counted = 0;
  const context = {
    keeper: { view: () => state },
    now: () => 0,
    config: { node: state.node },
    server: { node: { killAll }, opens: async (work: () => Promise<unknown>) => await work() },
    restartedInPlace: () => (counted += 1),
    emit: () => undefined,
    log: () => undefined,
  };
  const decision = decideHost(state);
  expect(decision.rule).toBe('crash-in-place');
  await executeOrder['start-primary'](context as unknown as OrderContext, decision).catch(() => undefined);
  expect(counted).toBe(1);
});
