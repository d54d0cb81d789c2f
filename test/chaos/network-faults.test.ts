/**
 * Hosts with a network of their own (driver `netns`), cut off, made deaf, losing packets: whatever happens, no two nodes accept
 * writes at once (invariants L1 and L3; probes go over each server's Unix socket, which nothing here cuts), and the cluster is
 * whole again afterwards. Then the runtime is killed, and nothing of the network stays.
 */
import { execFileSync } from 'node:child_process';
import { connect } from 'node:net';
import { EC2Client, ModifyInstanceAttributeCommand } from '@aws-sdk/client-ec2';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sendSignal } from '../../adapters/process.ts';
import { type EpisodeReport, runEpisode } from '../../bench/chaos/episode.ts';
import { Observation } from '../../bench/history/observation.ts';
import { openTemporaryCluster, type TemporaryCluster } from '../../bench/temporary-cluster.ts';
import { faultNamed } from '../../local/faults/all-faults.ts';
import type { Fault } from '../../local/faults/fault.ts';
import { cutOff, delayAws } from '../../local/faults/network.ts';
import { Operator } from '../../local/faults/operator.ts';
import { netnsProblem } from '../../local/runtime/netns/cluster-network.ts';
import { existingNamespaces } from '../../local/runtime/netns/network-plan.ts';
import { runTool } from '../../local/runtime/netns/network-tools.ts';

const problem = await netnsProblem();
const never = new AbortController().signal;
const lease = { ttlMs: 3_000, heartbeatMs: 500 };
/** Beyond the lease, an election and a promotion. */
const longMs = 7_000;
const shortMs = 4_000;

/** Addresses, routes and links of the machine's own namespace. */
const ownNetwork = () =>
  [['address'], ['route', 'show', 'table', 'all'], ['link']].map((what) =>
    execFileSync('ip', ['-o', ...what], { encoding: 'utf8' }).replaceAll(/_lft \w+/g, ''),
  );

let temporary: TemporaryCluster | undefined;
let observation: Observation;
let operator: Operator;
let before: string[];
/** When the last fault was in force. */
let struckMs = 0;

beforeAll(async () => {
  if (problem !== null) return;
  before = ownNetwork();
  temporary = await openTemporaryCluster({ mode: 'off', lease, file: { hosts: 'netns' }, signal: never });
  operator = new Operator(temporary.cluster);
  observation = new Observation({ cluster: temporary.cluster, mode: 'off', clients: 3, everyMs: 25 });
  await observation.start();
});
afterAll(async () => {
  await observation?.stop();
  operator?.close();
  await temporary?.close(process.env['LEASEHOLD_KEEP_SANDBOX'] !== undefined);
});
beforeEach((context) => {
  if (problem !== null) context.skip(problem);
});

function cluster() {
  if (temporary === undefined) throw new Error('the cluster is not up');
  return temporary.cluster;
}

/** One fault from a whole cluster to a whole cluster. Fails for whatever the history violates. */
async function strike(faultId: string, holdMs: number): Promise<EpisodeReport> {
  const surroundings = { cluster: cluster(), observation, operator, signal: never, wholeTimeoutMs: 60_000 };
  const known = faultNamed(faultId);
  const fault: Fault = {
    ...known,
    async apply(...on) {
      const undo = await known.apply(...on);
      struckMs = performance.now();
      return undo;
    },
  };
  const report = await runEpisode(
    { faults: [{ fault, pick: 0, atMs: 0 }], operation: null, holdMs, restMs: 0 },
    surroundings,
  );
  expect(report.violations, report.story.join('\n')).toEqual([]);
  expect(report.story.join('\n')).toContain(`undone: ${faultId}`);
  return report;
}

const nodesOf = (report: EpisodeReport) => [
  ...new Set(report.judgement?.tenures.map(({ node }) => node) ?? []),
];

describe('a cluster whose hosts have a network of their own', () => {
  it("answers on this machine, each node at an address of its own, and leaves the machine's network alone", async () => {
    const addresses = await Promise.all(
      ['node1', 'node2', 'node3'].map(
        async (node) =>
          (await cluster().query<{ at: string }>(node, 'select host(inet_server_addr()) as at'))[0]?.at,
      ),
    );
    expect(new Set(addresses).size).toBe(3);
    for (const address of addresses) expect(address).toMatch(/^10\.77\.0\./);
    expect(await cluster().query('endpoint', 'select pg_is_in_recovery() as standby')).toEqual([
      { standby: false },
    ]);
    expect(ownNetwork()).toEqual(before);
  });

  it('hands over when its primary is cut off from everything, which fences itself', async () => {
    const primary = await cluster().primary();
    const report = await strike('primary-cut-from-everything', longMs);
    const [first, second] = nodesOf(report);
    expect(first).toBe(primary);
    expect(second).toBeDefined();
    // What it renewed last was sent before the cut.
    expect(report.judgement?.tenures[0]?.lastSentMs).toBeLessThan(struckMs + lease.ttlMs);
    expect(report.judgement?.gapMs).toBeGreaterThan(lease.ttlMs / 2);
  });

  it('has one primary when the primary is cut off from AWS alone', async () => {
    await strike('primary-cut-from-aws', longMs);
  });

  it('hands over when its primary hears nobody, though all hear it', async () => {
    const primary = await cluster().primary();
    const report = await strike('primary-deaf', longMs);
    expect(nodesOf(report)[0]).toBe(primary);
    expect(nodesOf(report).length).toBeGreaterThan(1);
  });

  it('goes on without an error when a standby is cut off from everything', async () => {
    const primary = await cluster().primary();
    const report = await strike('standby-cut-from-everything', shortMs);
    expect(nodesOf(report)).toEqual([primary]);
    expect(report.judgement).toMatchObject({ failed: 0, unknown: 0, lost: 0 });
  });

  it('has one primary at most while a fifth of its packets is lost', async () => {
    await strike('primary-loses-packets', shortMs);
  });

  it('keeps its primary while the proxy is cut off from the nodes, and clients go on afterwards', async () => {
    const primary = await cluster().primary();
    const report = await strike('proxy-cut-from-nodes', shortMs);
    expect(nodesOf(report)).toEqual([primary]);
    expect(report.judgement?.gapMs).toBeGreaterThan(shortMs / 2);
  });

  it('keeps its primary while AWS is late', async () => {
    const primary = await cluster().primary();
    const undo = await delayAws(cluster(), primary, 20, 10);
    await new Promise((resolve) => setTimeout(resolve, 2 * lease.ttlMs));
    await undo();
    expect(await cluster().primary()).toBe(primary);
    const carried = await cluster().relayCounts();
    expect(carried[`aws ${cluster().network()?.hosts[primary]?.address}`]?.forthBytes).toBeGreaterThan(1_000);
    expect((await observation.judge()).violations).toEqual([]);
  });

  it('refuses at once where a cut is told to refuse, and says nothing where it is told to be silent', async () => {
    const standby = await cluster().standby();
    const { port } = new URL(cluster().dsn(standby));
    const undoDrop = await cutOff(cluster(), standby, 'clients');
    expect(await firstByte(Number(port), 700)).toBe('silence');
    await undoDrop();
    const undoReject = await cutOff(cluster(), standby, 'clients', { how: 'reject' });
    expect(await firstByte(Number(port), 5_000)).toBe('closed');
    await undoReject();
    expect(await firstByte(Number(port), 5_000)).toBe('answer');
  });

  it('cuts only new connections of an instance whose security group allows nothing', async () => {
    const standby = await cluster().standby();
    const { port } = new URL(cluster().dsn(standby));
    const { instanceId = '' } = cluster().endpoints().nodes[standby] ?? {};
    const established = connect({ host: '127.0.0.1', port: Number(port) });
    await new Promise((resolve) => setTimeout(resolve, 200));
    await setGroups(instanceId, 'sg-00000000000000002');
    try {
      expect(await firstByte(Number(port), 700)).toBe('silence');
      expect(await answerOn(established, 5_000)).toBe('answer');
    } finally {
      await setGroups(instanceId, 'sg-00000000000000001');
      established.destroy();
    }
    expect(await firstByte(Number(port), 5_000)).toBe('answer');
    await cluster().untilWhole(30_000);
  });

  it('leaves no namespace, no relay and no process behind, also when its runtime was killed', async () => {
    const folder = cluster().folder.path;
    const namespaces = existingNamespaces(folder);
    expect(namespaces.length).toBe(5);
    await observation.stop();
    sendSignal(cluster().pid(), 'SIGKILL');
    await cluster().down();
    expect(existingNamespaces(folder)).toEqual([]);
    for (const name of namespaces) await expect(runTool(['ip', '-n', name, 'link'])).rejects.toThrow();
    expect(ownNetwork()).toEqual(before);
  });
});

type Heard = 'answer' | 'closed' | 'silence';

/** What a server says to somebody who asks for TLS, as every client of PostgreSQL may. */
function firstByte(port: number, timeoutMs: number): Promise<Heard> {
  return answerOn(connect({ host: '127.0.0.1', port }), timeoutMs);
}

function answerOn(socket: ReturnType<typeof connect>, timeoutMs: number): Promise<Heard> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => done('silence'), timeoutMs);
    const done = (heard: Heard) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(heard);
    };
    socket
      .on('error', () => done('closed'))
      .on('close', () => done('closed'))
      .on('data', () => done('answer'));
    socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]));
  });
}

async function setGroups(instanceId: string, group: string): Promise<void> {
  const { region, awsEndpointUrl, accessKeyId, secretAccessKey } = cluster().endpoints();
  const ec2 = new EC2Client({
    region,
    endpoint: awsEndpointUrl,
    credentials: { accessKeyId, secretAccessKey },
  });
  try {
    await ec2.send(new ModifyInstanceAttributeCommand({ InstanceId: instanceId, Groups: [group] }));
  } finally {
    ec2.destroy();
  }
}
