/**
 * A program of the scale suite: the agents of many clusters in one process. Takes one task over its channel, starts the clusters, lets them settle,
 * counts for a while, says what it has counted, and ends.
 */
import { createClusterStore } from '../../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../../adapters/aws/dynamo-client.ts';
import { sleepMs } from '../../adapters/clock.ts';
import type { AgentsFigures, AgentsMessage, AgentsTask } from './messages.ts';
import { meteredClient, RequestFigures, requestKinds } from './metered-client.ts';
import { type DeadlineFigures, SimulatedCluster } from './simulated-cluster.ts';

const tell = (message: AgentsMessage) => process.send?.(message);
/** Clusters that are made at once, so that the first do not miss deadlines while the last are made. */
const startedAtOnce = 10;

async function simulate(task: AgentsTask): Promise<AgentsFigures> {
  let requests: RequestFigures | null = null;
  let deadlines: DeadlineFigures | null = null;
  const clusters = Array.from({ length: task.clusters }, (_, at) => {
    // One client for the agents of a cluster: each real agent has one of its own.
    const client = meteredClient(createDynamoClient(task.aws), () => requests);
    const name = `${task.prefix}-${at}`;
    const store = createClusterStore({ client, tableName: task.tableName, cluster: name });
    return new SimulatedCluster({ store, name, times: task.times, figures: () => deadlines });
  });
  for (let first = 0; first < clusters.length; first += startedAtOnce) {
    const some = clusters.slice(first, first + startedAtOnce);
    await Promise.all(some.map((cluster) => cluster.start(task.settleMs / 2)));
  }
  await sleepMs(task.settleMs);
  tell({ kind: 'counting' });
  const before = process.cpuUsage();
  const startedMs = performance.now();
  const counted = new RequestFigures();
  const passed: DeadlineFigures = { renewals: 0, unready: 0, missed: 0, gaps: 0 };
  requests = counted;
  deadlines = passed;
  await sleepMs(task.measureMs);
  requests = null;
  deadlines = null;
  const { user, system } = process.cpuUsage(before);
  const seconds = (performance.now() - startedMs) / 1_000;
  const overdue = clusters.filter((cluster) => cluster.isOverdue()).length;
  for (const cluster of clusters) cluster.stop();
  const latencies = Object.fromEntries(
    requestKinds.map((kind) => [kind, counted.latencies[kind].toText()]),
  ) as AgentsFigures['latencies'];
  const cpuSeconds = (user + system) / 1e6;
  return { seconds, outcomes: counted.outcomes, latencies, deadlines: passed, overdue, cpuSeconds };
}

process.once('message', (task) => {
  simulate(task as AgentsTask).then(
    (figures) => process.send?.({ kind: 'figures', figures } satisfies AgentsMessage, () => process.exit(0)),
    (error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      process.send?.({ kind: 'failed', reason } satisfies AgentsMessage, () => process.exit(1));
    },
  );
});
process.once('disconnect', () => process.exit(1));
