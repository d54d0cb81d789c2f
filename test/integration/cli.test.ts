/** The commands of an operator on a running cluster: status, switchover, failover, events, history, and their refusals. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ClusterSandbox, eventually, openClusterSandbox } from './support/cluster-sandbox.ts';
import { startLeasehold } from './support/leasehold-cli.ts';

let sandbox: ClusterSandbox;

const leasehold = (...args: string[]) => startLeasehold([...args, '--folder', sandbox.project]).finished;

beforeAll(async () => {
  sandbox = await openClusterSandbox();
});

afterAll(async () => {
  await sandbox?.close();
});

describe('leasehold status', () => {
  it('shows as JSON exactly what others rely on', async () => {
    const { code, stdout } = await leasehold('status', '--json');
    expect(code).toBe(0);
    const status = JSON.parse(stdout);
    const primary = await sandbox.cluster.primary();
    expect(status).toMatchObject({
      cluster: 'main',
      failoverState: 'stable',
      lease: { holder: primary, state: 'held' },
    });
    expect(status.lease.msLeft).toBeGreaterThan(0);
    expect(status.lease.msLeft).toBeLessThanOrEqual(2000);
    expect(status.nodes.map(({ id }: { id: string }) => id)).toEqual(['node1', 'node2', 'node3']);
    const roles = status.nodes.map(({ id, role, state }: Record<string, string>) => [
      id === primary,
      role,
      state,
    ]);
    expect(roles.sort()).toEqual([
      [false, 'standby', 'streaming'],
      [false, 'standby', 'streaming'],
      [true, 'primary', 'running'],
    ]);
  });

  it('is the same against AWS endpoints that are given by options and environment', async () => {
    const { region, tableName, awsEndpointUrl, accessKeyId, secretAccessKey } = sandbox.cluster.endpoints();
    const { finished } = startLeasehold(['status', '--json', '--region', region, '--table', tableName], {
      AWS_ENDPOINT_URL: awsEndpointUrl,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
    });
    const { code, stdout, stderr } = await finished;
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout).lease.holder).toBe(await sandbox.cluster.primary());
  });
});

describe('leasehold switchover', () => {
  it('moves the primary to the target it is given, and prints every step with its time', async () => {
    const target = await sandbox.cluster.standby();
    const from = await sandbox.cluster.primary();
    const { code, stdout, stderr } = await leasehold('switchover', '--target', target, '--reason', 'a test');
    expect(code, stderr).toBe(0);
    for (const step of ['Initiated', 'WaitingForCatchup', 'DemotingOldPrimary', 'PromotingNewPrimary']) {
      expect(stdout).toMatch(new RegExp(`^${step} +\\d+ ms$`, 'm'));
    }
    expect(await sandbox.cluster.primary()).toBe(target);
    await sandbox.cluster.untilWhole(60_000);
    const history = JSON.parse((await leasehold('history', '--json')).stdout);
    expect(history[0]).toMatchObject({
      kind: 'switchover',
      status: 'succeeded',
      from,
      target,
      reason: 'a test',
    });
    expect(history[0].steps.length).toBeGreaterThanOrEqual(5);
    const events = JSON.parse((await leasehold('events', '--json', '--limit', '200')).stdout);
    const kinds = events.map(({ kind }: { kind: string }) => kind);
    for (const kind of ['operation_started', 'lease_released', 'primary_promoted', 'operation_succeeded']) {
      expect(kinds).toContain(kind);
    }
  });

  it.each([
    ['a target that is no member', ['--target', 'nope'], /UnknownTarget.*nope/],
    ['the primary itself as target', ['--target', 'PRIMARY'], /primary|holder|TargetNotEligible/i],
  ])('fails with the reason for %s', async (_name, args, said) => {
    const primary = await sandbox.cluster.primary();
    const given = args.map((arg) => (arg === 'PRIMARY' ? primary : arg));
    const { code, stderr } = await leasehold('switchover', ...given);
    expect(code).toBe(1);
    expect(stderr).toMatch(said);
    expect(await sandbox.cluster.primary()).toBe(primary);
  });

  it('goes on when the one who watches it leaves', async () => {
    await sandbox.cluster.untilWhole(60_000);
    const before = await sandbox.cluster.primary();
    const { child, finished } = startLeasehold(['switchover', '--folder', sandbox.project]);
    await eventually('its first step', async () => {
      const head = await sandbox.cluster.store().readHead();
      return head.kind === 'ok' && head.value.record !== null && head.value.record.operation !== null;
    });
    child.kill('SIGINT');
    const { code, stderr } = await finished;
    expect(code).toBe(130);
    expect(stderr).toContain('goes on');
    await sandbox.cluster.untilWhole(60_000);
    expect(await sandbox.cluster.primary()).not.toBe(before);
  });
});

describe('leasehold failover', () => {
  it('replaces a primary whose host is gone', async () => {
    await sandbox.cluster.untilWhole(60_000);
    const lost = await sandbox.cluster.primary();
    await sandbox.cluster.killHost(lost);
    const { code, stderr } = await leasehold('failover');
    // The agents may have begun one themselves in the meantime; then this one is refused and theirs goes on.
    if (code !== 0) expect(stderr).toContain('OperationInProgress');
    await eventually(
      'another primary',
      () =>
        sandbox.cluster.primary().then(
          (primary) => primary !== lost,
          () => false,
        ),
      30_000,
    );
    await sandbox.cluster.bootHost(lost);
    await sandbox.cluster.untilWhole(90_000);
  });
});

describe('what cannot be done', () => {
  it.each([
    [['switchover', '--cluster', 'other'], 1, /no cluster other.*main/],
    [['promote'], 2, /unknown command/],
    [['events', '--limit', '0'], 2, /whole number/],
  ])('%j ends with %i and says why', async (args, code, said) => {
    const finished = await leasehold(...args);
    expect(finished.code).toBe(code);
    expect(finished.stderr).toMatch(said);
    expect(finished.stderr).not.toContain('    at ');
  });

  it('says how to start a cluster where none runs', async () => {
    const { finished } = startLeasehold(['status', '--folder', '/nonexistent']);
    const { code, stderr } = await finished;
    expect(code).toBe(1);
    expect(stderr).toContain('leasehold up');
  });
});
