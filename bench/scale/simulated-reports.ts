/** What agents of a cluster at rest say of themselves, as large as in a real one. Pure. */
import { lsnOf } from '../../core/model/lsn.ts';
import { defaultTags, type NodeReport, type ProxyReport } from '../../core/model/node-report.ts';
import { systemIdentifierOf } from '../../core/model/system-identifier.ts';

const addresses = { host: '10.0.12.101', port: 5432, restPort: 8008, wakePort: 8009 };
const systemIdentifier = systemIdentifierOf(7_551_234_567_890_123_456n);
const version = '15.14 (Debian 15.14-0+deb12u1)';

/** `primary`: the node that it is, or follows. */
export function simulatedNodeReport(
  node: string,
  primary: string,
  run: { readonly incarnation: string; readonly seq: number },
): NodeReport {
  const isPrimary = node === primary;
  const lsn = lsnOf(0x3000100n + BigInt(run.seq) * 4_096n);
  return {
    ...{
      node,
      ...run,
      instanceId: `i-0123456789abcde${node.at(-1)}`,
      systemIdentifier,
      timeline: 1,
      epoch: 1,
    },
    ...{ role: isPrimary ? 'primary' : 'standby', postgres: 'running', activity: 'none' },
    detail: isPrimary ? 'primary with a valid lease' : 'follows the holder of the lease',
    ...{ lsn, replayLsn: isPrimary ? null : lsn, lagBytes: isPrimary ? null : 0 },
    ...{ streaming: !isPrimary, upstream: isPrimary ? null : primary, tags: defaultTags, addresses, version },
    slots: ['leasehold_node1', 'leasehold_node2', 'leasehold_node3'].filter((slot) => !slot.endsWith(node)),
  };
}

export function simulatedProxyReport(
  proxy: string,
  primary: string,
  run: { readonly incarnation: string; readonly seq: number },
): ProxyReport {
  const { host, restPort, wakePort } = addresses;
  const ports = { endpointPort: 5432, pgbouncerPort: 6432, primaryPort: 5433, replicasPort: 5434 };
  return {
    ...{ proxy, ...run, instanceId: 'i-0123456789abcdef0', epoch: 1, routesTo: primary, paused: false },
    ...{ pausedFor: null, pauseFailedFor: null, detail: `routes to ${primary}` },
    addresses: { host, restPort, wakePort, ...ports },
  };
}
