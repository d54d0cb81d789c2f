/**
 * Fencing a holder that does not let go: what counts as proof, over which seq the lease is marked, and when it is given up.
 */
import { describe, expect, test } from 'vitest';
import { ok } from '../../../adapters/aws/store-answer.ts';
import { fenceHolder } from '../../../adapters/workflow/fence-host.ts';
import { createBench, operation, unreachable, withHosts } from './workflow-bench.ts';

const host = { operation, node: 'node1', epoch: 3, instanceId: 'i-1' };

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

/** While the first proof is on its way the old holder lets go after all, and the armed target takes the lease. */
function takenByTarget(bench: ReturnType<typeof createBench>): void {
  const { lease } = bench.table;
  if (lease === null || lease.epoch !== 3) return;
  bench.table.lease = { ...lease, holder: 'node2', incarnation: 'i-2', epoch: 4, seq: lease.seq + 2 };
}

test.each([3, 4])(
  'who took the lease meanwhile keeps it, even if the old host is barred up to epoch %i',
  async (barred) => {
    const bench = createBench();
    const sent: number[] = [];
    const deps = withHosts(bench, {
      fence: async ({ epoch }) => {
        sent.push(epoch);
        return ok('fence');
      },
      fenceOutcome: async () => {
        takenByTarget(bench);
        return ok({ kind: 'fenced' as const, epoch: barred });
      },
    });
    await fenceHolder(deps, bench.store, host);
    expect(sent).toEqual([3]);
    expect(bench.table.lease).toMatchObject({ holder: 'node2', epoch: 4, state: 'held' });
    expect(bench.events()).toEqual([]);
  },
);

test.each([{ epoch: 2 }, { node: 'node2' }])(
  'a lease that is not the one of the plan is not touched: %j',
  async (other) => {
    const bench = createBench();
    const deps = withHosts(bench, {
      fence: async () => Promise.reject(new Error('must not be fenced')),
      stopInstance: async () => Promise.reject(new Error('must not be stopped')),
    });
    await fenceHolder(deps, bench.store, { ...host, ...other });
    expect(bench.table.lease).toMatchObject({ holder: 'node1', epoch: 3, state: 'held' });
  },
);

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
  await expect(fenceHolder(bench.deps, bench.store, { ...host, instanceId: null })).rejects.toMatchObject({
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

  test('what is noted of a host names that host, whoever has taken the lease meanwhile', async () => {
    const bench = createBench();
    let stopped = false;
    const deps = withHosts(bench, {
      ...silent,
      stopInstance: async () => {
        stopped = true;
        takenByTarget(bench);
        return ok(undefined);
      },
      instanceState: async () => ok(stopped ? 'stopped' : 'running'),
    });
    await fenceHolder(deps, bench.store, host);
    expect(bench.table.record?.fencedHosts).toMatchObject([{ node: 'node1', instanceId: 'i-1', epoch: 3 }]);
    expect(bench.table.lease).toMatchObject({ holder: 'node2', epoch: 4, state: 'held' });
    expect(bench.events()).toEqual(['host_fencing_requested']);
  });

  test('a host that holds a newer lease by now is neither stopped nor noted', async () => {
    const bench = createBench();
    const deps = withHosts(bench, {
      ...silent,
      instanceState: async () => {
        const { lease } = bench.table;
        if (lease?.epoch === 3) bench.table.lease = { ...lease, epoch: 5, seq: lease.seq + 4 };
        return ok('running');
      },
      stopInstance: async () => Promise.reject(new Error('must not be stopped')),
    });
    await fenceHolder(deps, bench.store, host);
    expect(bench.table.record?.fencedHosts).toEqual([]);
    expect(bench.table.lease).toMatchObject({ holder: 'node1', epoch: 5, state: 'held' });
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
