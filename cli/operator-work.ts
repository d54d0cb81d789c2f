/** What a terminal gives to work of the control plane that is done from it: its clock, its name, its words, and AWS for the hosts. */
import { ulid } from 'ulid';
import { type AwsClients, createAwsClients } from '../adapters/aws/clients.ts';
import { monotonicMs, sleepMs } from '../adapters/clock.ts';
import { createAwsPorts } from '../adapters/workflow/aws-ports.ts';
import type { WorkflowDeps } from '../adapters/workflow/ports.ts';
import type { ClusterAccess } from './cluster/cluster-access.ts';
import { say } from './terminal.ts';

export const fromTerminal: Pick<WorkflowDeps, 'who' | 'now' | 'sleep' | 'time' | 'newId' | 'log'> = {
  who: 'cli',
  now: monotonicMs,
  sleep: sleepMs,
  time: () => new Date().toISOString(),
  newId: () => ulid(),
  log: (level, message, fields) => {
    if (level !== 'info') say(`${level}: ${message} ${JSON.stringify(fields)}`);
  },
};

export function portsOf({ stateMachineArn, documents }: ClusterAccess, clients: AwsClients) {
  return createAwsPorts(clients, {
    stateMachineArn,
    runActionDocument: documents.runAction,
    fenceDocument: documents.fence,
  });
}

/** With the hosts' ports, and the clients behind them let go afterwards. */
export async function withHosts<T>(
  access: ClusterAccess,
  work: (hosts: WorkflowDeps['hosts']) => Promise<T>,
): Promise<T> {
  const clients = createAwsClients(access.clientConfig);
  try {
    return await work(portsOf(access, clients).hosts);
  } finally {
    clients.destroy();
  }
}
