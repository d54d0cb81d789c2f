/** How often an agent reads the reports of the others: often while they change, seldom once nobody has anything new to say. */
import { describe, expect, it } from 'vitest';
import { NodeDirectory, readNodesEveryMs } from '../../agent/node-directory.ts';
import { lsnOf } from '../../core/model/lsn.ts';
import type { NodeReport, ProxyReport } from '../../core/model/node-report.ts';
import { sampleNodeReport, sampleProxyReport } from '../support/samples.ts';

function directory() {
  let nowMs = 0;
  let answers = true;
  let nodes: readonly NodeReport[] = [sampleNodeReport];
  let proxies: readonly ProxyReport[] = [sampleProxyReport];
  const reads: { readonly of: 'nodes' | 'proxies'; readonly eventually: boolean | undefined }[] = [];
  const failure = { kind: 'unreachable', message: 'away' } as const;
  const made = new NodeDirectory({
    store: {
      readNodes: async (o) => {
        reads.push({ of: 'nodes', eventually: o?.eventually });
        return answers ? { kind: 'ok', value: nodes } : failure;
      },
      readProxies: async (o) => {
        reads.push({ of: 'proxies', eventually: o?.eventually });
        return answers ? { kind: 'ok', value: proxies } : failure;
      },
    },
    wakeUp: { setPeers: () => undefined },
    self: 'node1',
    now: () => nowMs,
  });
  return {
    /** Reads once a second. */
    async readFor(seconds: number, underWay = false) {
      for (let second = 0; second < seconds; second += 1) {
        nowMs += 1_000;
        await made.read(underWay);
      }
    },
    says: (changed: Partial<NodeReport>) => {
      nodes = nodes.map((report) => ({ ...report, ...changed }));
    },
    proxiesAre: (given: readonly ProxyReport[]) => {
      proxies = given;
    },
    /** What was read since it was asked last. */
    reads: () => reads.splice(0),
    goAway: () => {
      answers = false;
    },
    everyMs: (underWay = false) => made.everyMs(underWay),
  };
}

describe('how often reports are read', () => {
  it('is often at first, and seldom when nothing has changed for half a minute', async () => {
    const one = directory();
    await one.readFor(25);
    expect(one.everyMs()).toBe(readNodesEveryMs.busy);
    await one.readFor(10);
    expect(one.everyMs()).toBe(readNodesEveryMs.quiet);
  });

  it('is often as long as an operation is under way', async () => {
    const one = directory();
    await one.readFor(40);
    expect(one.everyMs(true)).toBe(readNodesEveryMs.busy);
  });

  it('is often again from the read on that found anything new', async () => {
    const one = directory();
    await one.readFor(40);
    one.says({ role: 'primary' });
    await one.readFor(1);
    expect(one.everyMs()).toBe(readNodesEveryMs.busy);
  });

  it('does not follow positions and sequence numbers, which move while nothing happens', async () => {
    const one = directory();
    await one.readFor(40);
    one.says({ seq: 99, lsn: lsnOf(0x5000000n), replayLsn: null, lagBytes: 7 });
    await one.readFor(1);
    expect(one.everyMs()).toBe(readNodesEveryMs.quiet);
  });

  it('is often while they cannot be read: nobody knows then whether they have changed', async () => {
    const one = directory();
    await one.readFor(40);
    one.goAway();
    await one.readFor(1);
    expect(one.everyMs()).toBe(readNodesEveryMs.busy);
  });
});

describe('how reports are read', () => {
  it('is consistent until nothing has changed for half a minute, and again once something has', async () => {
    const one = directory();
    await one.readFor(30);
    expect(one.reads().every(({ eventually }) => eventually === false)).toBe(true);
    await one.readFor(5);
    expect(one.reads().every(({ eventually }) => eventually === true)).toBe(true);
    one.says({ role: 'primary' });
    await one.readFor(2);
    expect(one.reads().at(-1)).toEqual({ of: 'proxies', eventually: false });
  });

  it('is consistent while an operation is under way, and proxies are looked for', async () => {
    const one = directory();
    one.proxiesAre([]);
    await one.readFor(40);
    one.reads();
    await one.readFor(1, true);
    expect(one.reads()).toEqual([
      { of: 'nodes', eventually: false },
      { of: 'proxies', eventually: false },
    ]);
  });

  it('looks for proxies once a minute where there are none, while nothing changes', async () => {
    const one = directory();
    one.proxiesAre([]);
    const asked = () => one.reads().filter(({ of }) => of === 'proxies').length;
    await one.readFor(30);
    expect(asked()).toBe(30);
    await one.readFor(120);
    expect(asked()).toBeLessThanOrEqual(3);
    one.proxiesAre([sampleProxyReport]);
    await one.readFor(61);
    expect(asked()).toBeGreaterThan(0);
    await one.readFor(5);
    expect(asked()).toBe(5);
  });
});
