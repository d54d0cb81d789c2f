/**
 * What has to hold wherever the control plane is: hosts of this machine join it, a switchover and a failover run through its Step
 * Functions, and lease, record and history say so. Actions are read from DynamoDB, because its Run Command reaches none of these hosts.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DescribeExecutionCommand, SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ControlPlane } from '../../support/embedded-control-plane.ts';
import { type ClusterSandbox, eventually, openClusterSandbox, threeNodes } from './cluster-sandbox.ts';

const endTimeoutMs = 90_000;

/** Declares the tests. `unavailable`: why there is no such endpoint here; null when there is. */
export function anyEndpointSuite(
  where: string,
  unavailable: () => string | null,
  open: () => Promise<ControlPlane>,
): void {
  let controlPlane: ControlPlane | undefined;
  let sandbox: ClusterSandbox;
  let sfn: SFNClient;
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-endpoint-'));

  beforeAll(async () => {
    if (unavailable() !== null) return;
    controlPlane = await open();
    const { address } = controlPlane;
    const file = join(folder, 'control-plane.json');
    writeFileSync(file, JSON.stringify(address), { mode: 0o600 });
    const { awsEndpointUrl: endpoint, region, accessKeyId, secretAccessKey } = address;
    sfn = new SFNClient({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
    const slow = threeNodes({ lease: { ttlMs: 4_000, heartbeatMs: 500 } });
    sandbox = await openClusterSandbox(slow, { controlPlane: file });
  });
  beforeEach(async (context) => {
    const why = unavailable();
    if (why !== null) return context.skip(why);
    await sandbox.cluster.untilWhole(60_000);
  });
  afterAll(async () => {
    await sandbox?.close();
    sfn?.destroy();
    await controlPlane?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const head = async () => {
    const read = await sandbox.cluster.store().readHead();
    if (read.kind !== 'ok') throw new Error(`${read.kind}: ${read.message}`);
    return read.value;
  };
  /** The newest operation that has ended, with its actions. */
  const lastOperation = async () => {
    const store = sandbox.cluster.store();
    const listed = await store.listOperations(1);
    const id = listed.kind === 'ok' ? listed.value[0]?.id : undefined;
    const read = id === undefined ? null : await store.readOperation(id);
    return read?.kind === 'ok' ? read.value : null;
  };

  describe(`a control plane at ${where}`, () => {
    it('is where the hosts keep their lease', async () => {
      const { tableName, awsEndpointUrl } = sandbox.cluster.endpoints();
      expect({ tableName, awsEndpointUrl }).toEqual({
        tableName: controlPlane?.address.tableName,
        awsEndpointUrl: controlPlane?.address.awsEndpointUrl,
      });
      expect((await head()).lease?.state).toBe('held');
    });

    it('switches over with {"cluster":"main"}, and every host found its actions', async () => {
      const before = await head();
      const { executionArn } = await sfn.send(
        new StartExecutionCommand({
          stateMachineArn: controlPlane?.address.stateMachineArn,
          input: '{"cluster":"main"}',
        }),
      );
      const ended = await eventually(
        'the end of the execution',
        async () => {
          const now = await sfn.send(new DescribeExecutionCommand({ executionArn }));
          return now.status !== 'RUNNING' && now;
        },
        endTimeoutMs,
      );
      expect(ended).toMatchObject({ status: 'SUCCEEDED' });
      const { lease, record } = await head();
      expect(lease?.holder).not.toBe(before.lease?.holder);
      expect(lease?.epoch).toBe((before.lease?.epoch ?? 0) + 1);
      expect(record?.failoverState).toBe('stable');
      const history = await lastOperation();
      expect(history?.operation).toMatchObject({
        kind: 'switchover',
        target: lease?.holder,
        status: 'succeeded',
      });
      expect(history?.actions.length).toBeGreaterThan(3);
      for (const { action, claimedBy, result } of history?.actions ?? []) {
        expect(claimedBy, action).not.toBeNull();
        expect(result, action).toMatchObject({ ok: true });
      }
    });

    it('fails over when the host of the primary dies, and takes it back', async () => {
      const { cluster } = sandbox;
      const before = await head();
      const old = await cluster.primary();
      await cluster.query(old, 'CREATE TABLE IF NOT EXISTS kept (id int)');
      await cluster.killHost(old);
      const after = await eventually(
        'another primary',
        async () => {
          const now = await head();
          return now.lease?.state === 'held' && now.lease.holder !== old && now;
        },
        endTimeoutMs,
      );
      expect(after.lease?.epoch).toBe((before.lease?.epoch ?? 0) + 1);
      const history = await eventually(
        'the end of the operation',
        async () => {
          const last = await lastOperation();
          return last?.operation?.kind === 'failover' && last.operation.endedAt !== null && last;
        },
        endTimeoutMs,
      );
      expect(history.operation).toMatchObject({
        from: old,
        target: after.lease?.holder,
        status: 'succeeded',
      });
      await cluster.query(after.lease?.holder ?? '', 'INSERT INTO kept VALUES (1)');
      await cluster.bootHost(old);
      await cluster.untilWhole(endTimeoutMs);
      expect((await head()).record?.failoverState).toBe('stable');
    });
  });
}
