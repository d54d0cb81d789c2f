/** The doctor's findings, one trouble at a time: each is told by its own check, with what to do, and only a failure fails the host. */
import { expect, test } from 'vitest';
import { diagnose, exitCodeOf, failed, fine, skipped, tell, warning } from '../../agent/doctor/check.ts';
import { fileSystemOf } from '../../agent/doctor/host-checks.ts';
import { type ServiceDeps, serviceChecks } from '../../agent/doctor/service-checks.ts';
import type { HostConfig } from '../../core/model/host-config.ts';

const nowMs = 1_800_000_000_000;
const config = {
  ...{ cluster: 'main', node: 'n1', region: 'eu-west-1', tableName: 'Clusters', secretIds: null },
  stateMachineArn: 'arn:aws:states:eu-west-1:123456789012:stateMachine:Leasehold-failover',
} as unknown as HostConfig;
const nodes = ['n1', 'n2', 'n3'].map((node) => ({
  node,
  addresses: { host: `${node}.internal`, restPort: 8008 },
}));
const currentTexts = {
  superuser: '{"username":"postgres","password":"p1"}',
  replication: '{"username":"replicator_alt","password":"p2"}',
  cluster: 's1',
};
const denied = { kind: 'denied', message: 'not authorized to perform this' } as const;
const unreachable = { kind: 'unreachable', message: 'timeout' } as const;

/** A host that is well, but for what is given. */
async function findings(trouble: Partial<ServiceDeps>) {
  const deps: ServiceDeps = {
    config,
    store: {
      readHead: async () =>
        ({ kind: 'ok', value: { record: {}, lease: { epoch: 4, holder: 'n2' } } }) as never,
      readNodes: async () => ({ kind: 'ok', value: nodes }) as never,
    },
    aws: { describeExecution: async () => denied },
    secretsInUse: {
      superuser: { name: 'postgres', password: 'p1' },
      replication: { name: 'replicator_alt', password: 'p2' },
      cluster: 's1',
    },
    currentSecret: async (kind) => ({ kind: 'ok', value: currentTexts[kind] }),
    status: async () => 200,
    awsTimeMs: async () => nowMs - 500,
    nowMs: () => nowMs,
    ...trouble,
  };
  const diagnoses = await diagnose(serviceChecks(deps));
  const notFine = diagnoses.filter(({ state }) => state !== 'ok');
  return notFine.map(({ id, state, found, advice }) => ({ id, state, text: `${found} | ${advice}` }));
}

const store = async (change: Partial<ServiceDeps['store']>) => {
  const none = async () => ({ kind: 'ok', value: nodes }) as never;
  const head = async () => ({ kind: 'ok', value: { record: {}, lease: null } }) as never;
  return await findings({ store: { readHead: head, readNodes: none, ...change } });
};

test('on a host that is well every check is, and being refused by Step Functions proves that it answers', async () => {
  expect(await findings({})).toEqual([]);
});

test('a permission that is missing and a way that is closed have different advice', async () => {
  const [refused] = await store({ readHead: async () => denied });
  expect(refused).toMatchObject({ id: 'dynamodb', state: 'failed' });
  expect(refused?.text).toMatch(/denied: not authorized .* \| .*instance's profile/);
  const [away] = await store({ readHead: async () => unreachable });
  expect(away?.text).toMatch(/unreachable: timeout \| .*security groups/);
});

test('a cluster without a record, and one without other nodes, are warned of', async () => {
  const none = async () => ({ kind: 'ok', value: { record: null, lease: null } }) as never;
  expect(await store({ readHead: none })).toMatchObject([{ id: 'dynamodb', state: 'warning' }]);
  const alone = async () => ({ kind: 'ok', value: nodes.slice(0, 1) }) as never;
  expect(await store({ readNodes: alone })).toMatchObject([{ id: 'peers', state: 'warning' }]);
});

test('nodes that do not answer, or answer badly, are named with their address', async () => {
  const status = async (url: string) => {
    if (url.includes('n2')) throw new Error('refused');
    return 503;
  };
  const [peers] = await findings({ status });
  expect(peers).toMatchObject({ id: 'peers', state: 'failed' });
  expect(peers?.text).toContain('no answer from n2 at n2.internal:8008, n3 at n3.internal:8008 (503)');
});

test('Step Functions out of reach is told', async () => {
  const aws = { describeExecution: async () => unreachable };
  expect(await findings({ aws })).toMatchObject([{ id: 'step-functions', state: 'failed' }]);
});

test.each([
  ['superuser', '{"username":"postgres","password":"another"}'],
  ['replication', '{"username":"replicator","password":"p2"}'],
  ['cluster', 'another'],
] as const)('a secret of %s that this host does not use is named, and not told', async (kind, text) => {
  const currentSecret: ServiceDeps['currentSecret'] = async (asked) => ({
    ...{ kind: 'ok', value: asked === kind ? text : currentTexts[asked] },
  });
  const [found] = await findings({ currentSecret });
  expect(found).toMatchObject({ id: 'secrets', state: 'warning' });
  expect(found?.text).toMatch(new RegExp(`than the current one: ${kind} \\|`));
  expect(found?.text).not.toMatch(/another version.*another|p1|p2|s1/);
});

test('a secret that may not be read is a failure, and a host that knows of none is not asked', async () => {
  expect(await findings({ currentSecret: async () => denied })).toMatchObject([
    { id: 'secrets', state: 'failed' },
  ]);
  expect(await findings({ currentSecret: null })).toMatchObject([{ id: 'secrets', state: 'skipped' }]);
});

test.each([
  [-1_000, 'ok'],
  [3_000, 'warning'],
  [-3_000, 'warning'],
  [300_000, 'failed'],
])('a clock that is off by %i ms is %s', async (offMs, state) => {
  const [time] = await findings({ awsTimeMs: async () => nowMs - 500 - offMs });
  expect(time?.state ?? 'ok').toBe(state);
});

test('a check that throws or hangs has failed, and the others are told all the same', async () => {
  const diagnoses = await diagnose(
    [
      { id: 'throws', look: () => Promise.reject(new Error('no such file')) },
      { id: 'hangs', look: () => new Promise(() => undefined) },
      { id: 'well', look: () => fine('17.2') },
    ],
    20,
  );
  expect(diagnoses.map(({ state }) => state)).toEqual(['failed', 'failed', 'ok']);
  expect(diagnoses[0]?.found).toBe('no such file');
});

test('one line a check with what to do; only a failure makes the exit code 1', () => {
  const of = (...list: ReturnType<typeof fine>[]) =>
    list.map((finding, at) => ({ id: `check${at}`, ...finding }));
  expect(tell(of(fine('17.2'), failed('no guard', 'Start the agent.'), skipped('no systemd')))).toBe(
    'ok       check0  17.2\nFAILED   check1  no guard. Start the agent.\n-        check2  no systemd\n',
  );
  expect(exitCodeOf(of(fine('x'), warning('y', 'z'), skipped('w')))).toBe(0);
  expect(exitCodeOf(of(fine('x'), failed('y', 'z')))).toBe(1);
});

test('a path is on the file system of the longest mount point above it', () => {
  const mountinfo = [
    '22 1 259:1 / / rw,relatime shared:1 - xfs /dev/root rw',
    '30 22 259:3 / /var/lib/leasehold rw - ext4 /dev/nvme1n1 rw',
    '31 22 0:30 / /var/lib/lease rw - tmpfs tmpfs rw',
  ].join('\n');
  expect(fileSystemOf('/var/lib/leasehold', mountinfo)).toBe('ext4');
  expect(fileSystemOf('/var/lib/leasehold/data', mountinfo)).toBe('ext4');
  expect(fileSystemOf('/var/lib/leases', mountinfo)).toBe('xfs');
});
