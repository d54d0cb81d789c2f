/** A promotion that the host's table orders and that fails leaves no standby behind that could still open later (L3). */
import { expect, it } from 'vitest';
import { executeOrder, type OrderContext } from '../../agent/database/orders.ts';
import { decideHost } from '../../core/host/decide.ts';
import { aPrimary, aRecord } from '../support/host-states.ts';

const standby = { kind: 'standby', streaming: false, upstream: null } as const;

async function killedAfterFailure(answersAsPrimary: boolean): Promise<{ killed: number; counted: number }> {
  let killed = 0;
  let counted = 0;
  const state = aPrimary({
    record: aRecord({ epochs: [] }),
    postgres: standby,
    disk: { standbySignal: true },
  });
  const context = {
    server: {
      last: () => ({ postgres: standby }),
      opens: async () => ({ kind: 'failed', reason: 'not writable within 20000 ms' }),
      answersAsPrimary: async () => answersAsPrimary,
      node: {
        killAll: async () => {
          killed += 1;
        },
      },
    },
    restartedInPlace: () => {
      counted += 1;
    },
    emit: () => undefined,
    log: () => undefined,
  };
  const decision = decideHost(state);
  expect(decision.order.kind).toBe('finish-promotion');
  await executeOrder['finish-promotion'](context as unknown as OrderContext, decision);
  return { killed, counted };
}

it('a server that is not primary by then is killed, and the failure counts', async () => {
  expect(await killedAfterFailure(false)).toEqual({ killed: 1, counted: 1 });
});

it('a server that opened after all is left alone', async () => {
  expect(await killedAfterFailure(true)).toEqual({ killed: 0, counted: 1 });
});
