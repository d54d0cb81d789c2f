/**
 * DynamoDB taken away from a whole cluster under load: with all members reachable clients notice nothing for as long as it takes;
 * with one member away as well PostgreSQL is down before the deadline; and both end well when DynamoDB is back (D1).
 * LEASEHOLD_AWAY_S makes the outage longer than the test needs.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sleepMs, uptimeMs } from '../../adapters/clock.ts';
import { ContinuousWriter, lostWrites } from '../../local/runtime/continuous-writer.ts';
import { serverPids } from './support/agents-sandbox.ts';
import {
  type ClusterSandbox,
  eventually,
  openClusterSandbox,
  threeNodes,
} from './support/cluster-sandbox.ts';
import { dataDirectoryOf, eventsOf } from './support/operations.ts';

const ttlMs = 4_000;
const file = threeNodes({ lease: { ttlMs, heartbeatMs: 500 } });
const wholeMs = 90_000;
const awayMs = Number(process.env['LEASEHOLD_AWAY_S'] ?? (2.4 * ttlMs) / 1000) * 1000;

let sandbox: ClusterSandbox;

beforeAll(async () => {
  sandbox = await openClusterSandbox(file);
});
beforeEach(async () => {
  await sandbox.cluster.untilWhole(wholeMs);
});
afterAll(async () => {
  await sandbox?.close();
});

/** The value of a metric of a node without other labels. */
async function metric(node: string, name: string): Promise<number | null> {
  const answer = await fetch(`${sandbox.cluster.endpoints().nodes[node]?.restUrl}/metrics`);
  expect(answer.headers.get('content-type')).toContain('text/plain; version=0.0.4');
  const line = (await answer.text()).split('\n').find((one) => one.startsWith(`${name}{`));
  return line === undefined ? null : Number(line.slice(line.lastIndexOf(' ') + 1));
}

async function health(node: string): Promise<number> {
  return (await fetch(`${sandbox.cluster.endpoints().nodes[node]?.restUrl}/primary`)).status;
}

async function epoch(): Promise<number> {
  const head = await sandbox.cluster.store().readHead();
  if (head.kind !== 'ok' || head.value.lease === null) throw new Error('no lease');
  return head.value.lease.epoch;
}

async function startWriter(table: string): Promise<ContinuousWriter> {
  const dsn = sandbox.cluster.endpoints().dsn.endpoint;
  const writer = new ContinuousWriter({ dsn, table, clients: 4, pauseMs: 5 });
  await writer.start();
  return writer;
}

const active = 'patroni_failsafe_mode_is_active';

describe('DynamoDB away', () => {
  it.each(['hang', 'refuse'] as const)(
    'with all members reachable: clients notice nothing, nobody takes over (%s)',
    { timeout: 60_000 + awayMs },
    async (mode) => {
      const { cluster } = sandbox;
      const primary = await cluster.primary();
      const standby = await cluster.standby();
      const before = await epoch();
      expect(await metric(primary, active)).toBe(0);
      const table = `away_${mode}`;
      const writer = await startWriter(table);
      await cluster.setAway('dynamodb', mode);
      const fromMs = uptimeMs();
      const wallMs = Date.now();
      while (uptimeMs() - fromMs < awayMs) {
        await sleepMs(250);
        expect(await health(primary)).toBe(200);
      }
      expect(await metric(primary, active)).toBe(1);
      expect(await metric(primary, 'leasehold_failsafe_seconds')).toBeGreaterThan(ttlMs / 1000);
      expect(await metric(standby, 'leasehold_held_back')).toBe(1);
      await cluster.setAway('dynamodb', null);
      await eventually('the lease renewed again', async () => (await metric(primary, active)) === 0);
      await sleepMs(ttlMs);
      await writer.stop();
      const { errors, gapMs, acked } = writer.figures();
      process.stdout.write(
        `DynamoDB away (${mode}) for ${awayMs} ms: ${JSON.stringify({ errors, gapMs, acked })}\n`,
      );
      expect(errors).toBe(0);
      expect(await lostWrites(cluster.dsn(primary), table, writer.acknowledged())).toEqual([]);
      expect([await cluster.primary(), await epoch()]).toEqual([primary, before]);
      // Written when DynamoDB was back, with the time at which it happened.
      const entered = await eventually('the event of the outage', async () => {
        const events = await eventsOf(cluster);
        const left = events.findLast(({ kind }) => kind === 'failsafe_left');
        return left !== undefined && Date.parse(left.time) > wallMs
          ? (events.findLast(({ kind }) => kind === 'failsafe_entered') ?? null)
          : null;
      });
      expect(entered).toMatchObject({ who: primary, epoch: before });
      expect(Date.parse(entered.time)).toBeGreaterThan(wallMs);
      expect(Date.parse(entered.time)).toBeLessThan(wallMs + awayMs);
    },
  );

  it('with a member away too: PostgreSQL is down before the deadline; later all is well again', {
    timeout: 180_000,
  }, async () => {
    const { cluster } = sandbox;
    const primary = await cluster.primary();
    const member = await cluster.standby();
    const directory = await dataDirectoryOf(cluster, primary);
    const writer = await startWriter('away_and_member');
    await cluster.setAway('dynamodb', 'refuse');
    await eventually('failsafe mode', async () => (await metric(primary, active)) === 1);
    await sleepMs(ttlMs);
    expect(serverPids(directory).length).toBeGreaterThan(0);
    await cluster.killHost(member);
    // Nobody answered for that member after this moment: the deadline is at most one ttl away.
    const deadMs = uptimeMs();
    const downMs = await eventually('PostgreSQL is down', () =>
      serverPids(directory).length === 0 ? uptimeMs() : false,
    );
    process.stdout.write(`down ${Math.round(downMs - deadMs)} ms after the member, of ${ttlMs}\n`);
    expect(downMs - deadMs).toBeLessThan(ttlMs);
    await cluster.setAway('dynamodb', null);
    await cluster.bootHost(member);
    await cluster.untilWhole(wholeMs);
    await writer.stop();
    const now = await cluster.primary();
    expect(await lostWrites(cluster.dsn(now), 'away_and_member', writer.acknowledged())).toEqual([]);
  });
});
