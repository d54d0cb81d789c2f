/** An agent's request for a failover is for the epoch that it saw free, so that a late one moves nobody who took over meanwhile. */
import { expect, it } from 'vitest';
import { type OrderContext, requestFailover } from '../../agent/database/orders.ts';
import { parseOperationRequest } from '../../core/wire/parse-operation-request.ts';
import { aLease, aRecord } from '../support/host-states.ts';

it('names the epoch, alike from every agent, and takes what the workflow takes', async () => {
  const asked: { name: string; input: string }[] = [];
  const lease = aLease({ epoch: 4, state: 'sealed' });
  for (const node of ['node2', 'node3']) {
    const context = {
      keeper: { refresh: async () => true, view: () => ({ record: aRecord(), watch: { lease } }) },
      clients: {
        startFailover: async (name: string, input: string) => {
          asked.push({ name, input });
          return 'started';
        },
      },
      config: { node },
      log: () => undefined,
      emit: () => undefined,
    };
    await requestFailover(context as unknown as OrderContext, 'lease_sealed');
  }
  const [first, second] = asked;
  expect(first).toEqual(second);
  expect(parseOperationRequest(JSON.parse(first?.input ?? ''))).toMatchObject({ kind: 'failover', epoch: 4 });
});
