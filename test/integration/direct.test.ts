/**
 * Operations when the control plane is away: run from a terminal without Step Functions and Lambda (O1), with and without Run Command;
 * and ordinary ones while Run Command is away, when agents find their actions in DynamoDB.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OperationSummary } from '../../cli/operation-history.ts';
import { serviceNames } from '../../local/aws/away.ts';
import { ContinuousWriter, lostWrites } from '../../local/runtime/continuous-writer.ts';
import {
  type ClusterSandbox,
  eventually,
  openClusterSandbox,
  threeNodes,
} from './support/cluster-sandbox.ts';
import { startLeasehold } from './support/leasehold-cli.ts';
import { operate, succeeded } from './support/operations.ts';

const sixStates = [
  'initiated',
  'waiting_for_catchup',
  'demoting_old_primary',
  'promoting_new_primary',
  'reconfiguring_replicas',
  'stable',
];
const wholeMs = 60_000;
let sandbox: ClusterSandbox;

beforeAll(async () => {
  sandbox = await openClusterSandbox(threeNodes({ lease: { ttlMs: 3_000, heartbeatMs: 500 } }));
});
beforeEach(async () => {
  await sandbox.cluster.untilWhole(wholeMs);
});
afterEach(async () => {
  for (const service of serviceNames) await sandbox.cluster.setAway(service, null);
});
afterAll(async () => {
  await sandbox?.close();
});

const leasehold = (...args: string[]) => startLeasehold([...args, '--folder', sandbox.project]);

async function lastOperation(): Promise<OperationSummary> {
  const { stdout } = await leasehold('history', '--json', '--limit', '1').finished;
  const [last] = JSON.parse(stdout) as OperationSummary[];
  if (last === undefined) throw new Error('there is no operation');
  return last;
}

describe('without Step Functions and Lambda', () => {
  it('a direct switchover moves the primary, loses nothing and shows all six states', async () => {
    const { cluster } = sandbox;
    const target = await cluster.standby();
    for (const service of ['states', 'lambda'] as const) await cluster.setAway(service, 'refuse');
    const writer = new ContinuousWriter({
      dsn: cluster.endpoints().dsn.endpoint,
      table: 'direct_switchover',
      clients: 4,
    });
    await writer.start();
    const ran = await leasehold('switchover', '--direct', '--target', target).finished;
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.stdout).toMatch(/^Initiated .*\nWaitingForCatchup .*\nDemotingOldPrimary .*\nStable .*ms$/ms);
    await writer.stop();
    expect(await cluster.primary()).toBe(target);
    expect(writer.figures().errors).toBe(0);
    expect(await lostWrites(cluster.dsn(target), 'direct_switchover', writer.acknowledged())).toEqual([]);
    const last = await lastOperation();
    expect(last).toMatchObject({ kind: 'switchover', status: 'succeeded', target });
    expect(last.steps.map(({ step }) => step)).toEqual(sixStates);
  });

  it('a direct failover replaces a host that died, without Run Command too', async () => {
    const { cluster } = sandbox;
    const primary = await cluster.primary();
    await cluster.setAway('states', 'hang');
    await cluster.setAway('lambda', 'refuse');
    await cluster.setAway('ssm', 'refuse');
    await cluster.killHost(primary);
    const ran = await leasehold('failover', '--direct').finished;
    expect(ran).toMatchObject({ code: 0 });
    expect(await cluster.primary()).not.toBe(primary);
    const last = await lastOperation();
    expect(last).toMatchObject({ kind: 'failover', status: 'succeeded', from: primary });
    expect(last.steps.map(({ step }) => step)).toEqual(sixStates);
    await cluster.bootHost(primary);
  });

  it('a direct run that is killed half way is taken over by another', async () => {
    const { cluster } = sandbox;
    const target = await cluster.standby();
    await cluster.setAway('states', 'refuse');
    const first = leasehold('switchover', '--direct', '--target', target);
    const killed = await eventually('the first state done', async () => {
      if (!first.said.stdout.includes('Initiated')) return false;
      first.child.kill('SIGKILL');
      const head = await cluster.store().readHead();
      return head.kind === 'ok' ? (head.value.record?.operation?.id ?? false) : false;
    });
    await first.finished;
    const ran = await leasehold('switchover', '--direct', '--target', await cluster.standby()).finished;
    expect(ran).toMatchObject({ code: 0 });
    const operations = await cluster.store().listOperations(2);
    expect(operations).toMatchObject({
      value: [{ status: 'succeeded' }, { id: killed, status: 'failed' }],
    });
    const head = await cluster.store().readHead();
    expect(head).toMatchObject({ value: { record: { operation: null, failoverState: 'stable' } } });
  });
});

describe('without Run Command', () => {
  it('agents find their actions in DynamoDB: a switchover and a failover come to their ends', async () => {
    const { cluster } = sandbox;
    await cluster.setAway('ssm', 'refuse');
    const target = await cluster.standby();
    expect(await operate(cluster, { kind: 'switchover', target })).toEqual(succeeded);
    expect(await cluster.primary()).toBe(target);
    await cluster.killHost(target);
    await eventually('another primary', async () => {
      const now = await cluster.primary().catch(() => target);
      return now !== target;
    });
    await cluster.bootHost(target);
  });
});

/** Last, for what it leaves is closed by the sentinel, and that is not waited for. */
describe('a direct run that is interrupted', () => {
  it('says what it leaves', async () => {
    const { cluster } = sandbox;
    await cluster.setAway('states', 'refuse');
    const run = leasehold('switchover', '--direct', '--target', await cluster.standby());
    await eventually('the first state done', () => run.said.stdout.includes('Initiated'));
    run.child.kill('SIGINT');
    const { code, stderr } = await run.finished;
    expect(code).toBe(130);
    expect(stderr).toMatch(/was broken off in \w+: operation \S+ stays in the record/);
  });
});
