/**
 * Fencing a holder that does not let go: what counts as proof, over which seq the lease is marked, and when it is given up.
 */
import { describe, expect, test } from 'vitest';
import { ok } from '../../../adapters/aws/store-answer.ts';
import { fenceHolder } from '../../../adapters/workflow/fence-host.ts';
import { createBench, operation, unreachable, withHosts } from './workflow-bench.ts';

const host = { operation, instanceId: 'i-1' };

test('the proof of the host itself marks the lease', async () => {
  const bench = createBench();
  const deps = withHosts(bench, { fenceOutcome: async () => ok({ kind: 'fenced' as const, epoch: 3 }) });
  await fenceHolder(deps, bench.store, host);
  expect(bench.table.lease).toMatchObject({ state: 'fenced', epoch: 3 });
  expect(bench.events()).toEqual(['lease_fenced']);
});

test('a proof of an older epoch is none: the instance is stopped', async () => {
  const bench = createBench();
  const asked: string[] = [];
  const deps = withHosts(bench, {
    fenceOutcome: async () => ok({ kind: 'fenced' as const, epoch: 2 }),
    stopInstance: async (instanceId) => {
      asked.push(instanceId);
      return ok(undefined);
    },
    instanceState: async () => ok(asked.length === 0 ? 'running' : 'stopped'),
  });
  await fenceHolder(deps, bench.store, host);
  expect(asked).toEqual(['i-1']);
  expect(bench.table.lease?.state).toBe('fenced');
});

test.each(['running', 'stopping', 'shutting-down', 'absent', 'pending'])(
  'an instance that is %s proves nothing',
  async (state) => {
    const bench = createBench();
    const deps = withHosts(bench, { fence: async () => unreachable, instanceState: async () => ok(state) });
    await expect(fenceHolder(deps, bench.store, host)).rejects.toMatchObject({ name: 'NotFenced' });
    expect(bench.table.lease?.state).toBe('held');
  },
);

test('a holder that renewed after the proof had begun keeps the lease, and is fenced anew', async () => {
  const bench = createBench();
  let fences = 0;
  const deps = withHosts(bench, {
    fence: async () => {
      fences += 1;
      return ok('fence');
    },
    fenceOutcome: async () => {
      // The last renewal lands while the first proof is on its way.
      if (fences === 1 && bench.table.lease !== null) bench.table.lease = { ...bench.table.lease, seq: 100 };
      return ok({ kind: 'fenced' as const, epoch: 3 });
    },
  });
  await fenceHolder(deps, bench.store, host);
  expect(fences).toBe(2);
  expect(bench.table.lease).toMatchObject({ state: 'fenced', seq: 101 });
});

test('a holder that renews for ever is not fenced by anybody word', async () => {
  const bench = createBench();
  const deps = withHosts(bench, {
    fenceOutcome: async () => {
      if (bench.table.lease !== null)
        bench.table.lease = { ...bench.table.lease, seq: bench.table.lease.seq + 1 };
      return ok({ kind: 'fenced' as const, epoch: 3 });
    },
  });
  await expect(fenceHolder(deps, bench.store, host)).rejects.toMatchObject({ name: 'NotFenced' });
  expect(bench.table.lease?.state).toBe('held');
});

test('members that seal it meanwhile end the wait', async () => {
  const bench = createBench();
  const deps = withHosts(bench, {
    fenceOutcome: async () => {
      if (bench.table.lease !== null) bench.table.lease = { ...bench.table.lease, state: 'sealed', seq: 8 };
      return ok({ kind: 'pending' as const });
    },
  });
  await fenceHolder(deps, bench.store, host);
  expect(bench.table.lease?.state).toBe('sealed');
});

test('a host that nobody knows cannot be fenced', async () => {
  const bench = createBench();
  await expect(fenceHolder(bench.deps, bench.store, { operation, instanceId: null })).rejects.toMatchObject({
    name: 'NotFenced',
  });
});

test('nothing is fenced for an operation that is not the current one', async () => {
  const bench = createBench();
  const deps = withHosts(bench, { fenceOutcome: async () => ok({ kind: 'fenced' as const, epoch: 3 }) });
  await expect(fenceHolder(deps, bench.store, { ...host, operation: 'other' })).rejects.toMatchObject({
    name: 'OperationSuperseded',
  });
  expect(bench.table.lease?.state).toBe('held');
});

describe('through EC2', () => {
  const silent = { fence: async () => unreachable };

  test('an instance that is stopped already is proof, and nothing is done that would have to be undone', async () => {
    const bench = createBench();
    const deps = withHosts(bench, {
      ...silent,
      instanceState: async () => ok('stopped'),
      stopInstance: async () => Promise.reject(new Error('must not be stopped')),
    });
    await fenceHolder(deps, bench.store, host);
    expect(bench.table.lease?.state).toBe('fenced');
    expect(bench.table.record?.fencedHosts).toEqual([]);
    expect(bench.events()).toEqual(['lease_fenced']);
  });

  test('what is done is noted before it is done', async () => {
    const bench = createBench();
    let stopped = false;
    const deps = withHosts(bench, {
      ...silent,
      stopInstance: async () => {
        expect(bench.table.record?.fencedHosts).toMatchObject([
          { node: 'node1', instanceId: 'i-1', how: 'stopped', epoch: 3, operation },
        ]);
        stopped = true;
        return ok(undefined);
      },
      instanceState: async () => ok(stopped ? 'stopped' : 'running'),
    });
    await fenceHolder(deps, bench.store, host);
    expect(stopped).toBe(true);
    expect([...bench.table.events.values()].map(({ kind, rule }) => `${kind} ${rule}`)).toEqual([
      'host_fencing_requested nothing-heard',
      'lease_fenced instance-stopped',
    ]);
  });

  const isolating = () => {
    const bench = createBench();
    const { record } = bench.table;
    if (record === null) throw new Error('the bench has no record');
    const fencing = { mode: 'isolate', securityGroup: 'sg-99999999' } as const;
    bench.table.record = { ...record, spec: { ...record.spec, fencing } };
    return bench;
  };

  test('isolation proves nothing: only the members seal, and the instance is never stopped', async () => {
    const bench = isolating();
    const asked: (readonly string[])[] = [];
    const deps = withHosts(bench, {
      ...silent,
      stopInstance: async () => Promise.reject(new Error('must not be stopped')),
      setSecurityGroups: async (_id, groups) => {
        expect(bench.table.record?.fencedHosts).toMatchObject([
          { how: 'isolated', formerGroups: ['sg-11111111'] },
        ]);
        asked.push(groups);
        return ok(undefined);
      },
    });
    await expect(fenceHolder(deps, bench.store, host)).rejects.toMatchObject({
      name: 'NotFenced',
      message: expect.stringContaining('those that exist live on'),
    });
    expect(asked).toEqual([['sg-99999999']]);
    expect(bench.table.lease?.state).toBe('held');
    expect(bench.events()).toEqual(['host_fencing_requested', 'host_isolated']);
  });

  test('isolated, the lease is free once the members have sealed it', async () => {
    const bench = isolating();
    const deps = withHosts(bench, {
      ...silent,
      setSecurityGroups: async () => {
        if (bench.table.lease !== null) bench.table.lease = { ...bench.table.lease, state: 'sealed', seq: 8 };
        return ok(undefined);
      },
    });
    await fenceHolder(deps, bench.store, host);
    expect(bench.table.lease?.state).toBe('sealed');
  });

  test.each(['securityGroups', 'setSecurityGroups'] as const)(
    'an isolation that EC2 does not take is none: %s',
    async (call) => {
      const bench = isolating();
      const deps = withHosts(bench, { ...silent, [call]: async () => unreachable });
      await expect(fenceHolder(deps, bench.store, host)).rejects.toMatchObject({ name: 'NotFenced' });
      expect(bench.events()).not.toContain('host_isolated');
    },
  );
});
