/** What a node says of itself beyond its PostgreSQL: that its disk is low on space, and that it is in, or has promised for, failsafe mode. */
import { expect, it } from 'vitest';
import { ok } from '../../adapters/aws/store-answer.ts';
import type { HostContext } from '../../agent/database/host-context.ts';
import { Reporter } from '../../agent/database/reporter.ts';
import type { Look } from '../../agent/database/server.ts';
import { wellHost } from '../../core/host/host-health.ts';
import { startWatch } from '../../core/lease/lease-clock.ts';
import type { NodeReport } from '../../core/model/node-report.ts';
import { nodeReportToItem, parseNodeReport } from '../../core/wire/parse-node-report.ts';

const stopped: Look = {
  postgres: { kind: 'stopped' },
  observation: null,
  postmaster: null,
  control: null,
  dataDirectory: 'present',
  standbySignal: false,
};

interface Facts {
  readonly low?: true;
  readonly failsafe?: boolean;
  readonly heldBack?: string;
}

function contextOf(reports: NodeReport[], facts: () => Facts) {
  return {
    config: { node: 'node1', instanceId: 'i-1', host: '10.0.0.1', postgres: { port: 5432 }, tags: {} },
    writer: { node: 'node1', incarnation: 'i1' },
    keeper: {
      view: () => ({
        record: null,
        watch: startWatch(0),
        failsafe: { active: facts().failsafe ?? false },
        heldBack: facts().heldBack === undefined ? null : { rule: facts().heldBack },
      }),
    },
    server: { following: () => null },
    wakeUp: { port: 1 },
    restPort: () => 2,
    secretUse: () => undefined,
    nodes: () => [],
    health: () => ({ ...wellHost, disk: { ...wellHost.disk, ...(facts().low ? { low: true } : {}) } }),
    store: {
      putNodeReport: async (report: NodeReport) => {
        reports.push(report);
        return ok(undefined);
      },
    },
    now: () => 0,
    log: () => undefined,
  };
}

/** Reports once for each of `facts`, and returns what was written. */
async function written(...facts: Facts[]): Promise<NodeReport[]> {
  const reports: NodeReport[] = [];
  let now: Facts = {};
  const reporter = new Reporter(contextOf(reports, () => now) as unknown as HostContext);
  for (const one of facts) {
    now = one;
    await reporter.report(stopped, 'none', '');
    await new Promise((resolve) => setImmediate(resolve));
  }
  return reports;
}

it('says at once that space is low, or that failsafe is on, without waiting for the next ten seconds', async () => {
  const reports = await written({}, {}, { low: true }, { failsafe: true }, { heldBack: 'promised' });
  expect(reports.map(({ diskLow, failsafe }) => [diskLow, failsafe])).toEqual([
    [false, false],
    [true, false],
    [false, true],
  ]);
});

it('a node that is held back for another reason has promised nothing', async () => {
  const [report] = await written({ heldBack: 'just-started' });
  expect(report?.failsafe).toBe(false);
});

it('both survive the way through the table, and the report of an older agent lacks them', async () => {
  const [report] = await written({ low: true, failsafe: true });
  if (report === undefined) throw new Error('there is one');
  const complete = { ...report, tags: { nofailover: false, failoverPriority: 0 } };
  expect(parseNodeReport(nodeReportToItem(complete))).toMatchObject({ diskLow: true, failsafe: true });
  const { disk_low: _low, failsafe: _failsafe, ...older } = nodeReportToItem(complete);
  expect(parseNodeReport(older)).not.toHaveProperty('diskLow');
});

it('a standby that stands still while its primary goes on says in time how far it has fallen behind', async () => {
  const reports: NodeReport[] = [];
  let nowMs = 0;
  let behind = 0n;
  const start = 0x300_0000n;
  const standby = {
    ...stopped,
    postgres: { kind: 'standby', streaming: true, upstream: 'node2' },
    observation: { currentLsn: null, receivedLsn: start, replayedLsn: start, slots: [] },
  } as unknown as Look;
  const context = {
    ...contextOf(reports, () => ({})),
    server: { following: () => ({ node: 'node2', epoch: 1 }) },
    nodes: () => [{ node: 'node2', lsn: start + behind }],
    now: () => nowMs,
  };
  const reporter = new Reporter(context as unknown as HostContext);
  const at = async (ms: number) => {
    nowMs = ms;
    await reporter.report(standby, 'none', '');
    await new Promise((resolve) => setImmediate(resolve));
    return reports.length;
  };
  expect(await at(0)).toBe(1);
  expect(await at(60_001)).toBe(2);
  // Nothing new for a minute: it would be silent for 30 s.
  expect(await at(75_000)).toBe(2);
  behind = 2n ** 20n;
  expect(await at(75_500)).toBe(3);
  expect(reports.at(-1)?.lagBytes).toBe(2 ** 20);
  expect(await at(90_000)).toBe(3);
});
