/** The sentinel as a Lambda function: each minute, every cluster; one that fails does not keep the others from being looked after. */
import { listClusters } from '../adapters/workflow/list-clusters.ts';
import { parseSentinelInput } from '../adapters/workflow/parse-state-input.ts';
import type { WorkflowDeps } from '../adapters/workflow/ports.ts';
import { type Looks, type SentinelView, watchCluster } from '../adapters/workflow/sentinel.ts';
import { wireFunction } from './wire-function.ts';

/** So many clusters at a time: each is two small reads when all is well, three with proxies. */
const concurrency = 20;
/** Of the invocation before, in this same process; a new one has nothing to compare with for a minute. */
const looks: Looks = new Map();

export const handler = wireFunction('sentinel', ['sfn'], async ({ deps, environment, client }, event) => {
  const { cluster } = parseSentinelInput(event);
  const clusters = cluster === null ? await listClusters(client, environment.tableName) : [cluster];
  const acted: SentinelView[] = [];
  const failed: string[] = [];
  for (let first = 0; first < clusters.length; first += concurrency) {
    const views = await Promise.all(
      clusters.slice(first, first + concurrency).map((one) => watch(deps, one)),
    );
    for (const view of views) {
      if (typeof view === 'string') failed.push(view);
      else if (view.did !== 'nothing') acted.push(view);
    }
  }
  if (failed.length > 0)
    throw new Error(`${failed.length} of ${clusters.length} clusters: ${failed.join('; ').slice(0, 2000)}`);
  return { clusters: clusters.length, acted };
});

/** What was done, or as text why it could not be. */
async function watch(deps: WorkflowDeps, cluster: string): Promise<SentinelView | string> {
  try {
    return await watchCluster(deps, cluster, looks);
  } catch (error) {
    deps.log('error', 'a cluster could not be looked after', { cluster, detail: String(error) });
    return `${cluster}: ${error instanceof Error ? error.message : String(error)}`;
  }
}
