/**
 * A proxy's report, read from and written to DynamoDB: which epoch it routes to, and for which operation it is paused.
 */
import type { ProxyAddresses, ProxyReport } from '../model/node-report.ts';
import {
  boolean,
  count,
  type Item,
  id,
  itemShape,
  nonEmpty,
  nullable,
  optional,
  positive,
  text,
} from './item-shape.ts';
import { hostSecretUseShape } from './parse-cluster-secrets.ts';
import { agentRelease, portOrNone } from './parse-node-report.ts';

const reportShape = itemShape<ProxyReport>({
  proxy: id,
  incarnation: nonEmpty,
  instanceId: nonEmpty,
  seq: count,
  epoch: nullable(positive),
  routesTo: nullable(id),
  paused: boolean,
  pausedFor: nullable(nonEmpty),
  pauseFailedFor: nullable(nonEmpty),
  detail: text,
  secrets: optional(hostSecretUseShape),
  addresses: itemShape<ProxyAddresses>({
    host: nonEmpty,
    endpointPort: portOrNone,
    pgbouncerPort: portOrNone,
    primaryPort: portOrNone,
    replicasPort: portOrNone,
    restPort: portOrNone,
    wakePort: portOrNone,
  }),
  agent: agentRelease,
});

/** Throws InvalidInput, naming the attribute as `proxy_report.<attribute>`. */
export function parseProxyReport(item: unknown): ProxyReport {
  return reportShape.read(item, 'proxy_report');
}

export function proxyReportToItem(report: ProxyReport): Item {
  return reportShape.write(report);
}
