/**
 * The names of all clusters in the table, for the sentinel. Reads a sparse index that has only the clusters' records, so its cost
 * follows the number of clusters and not that of reports and events. The index is eventually consistent: a cluster that was made this
 * second is seen the next minute.
 */
import { readNonEmpty } from '../../core/wire/fields.ts';
import type { DynamoClient } from '../aws/dynamo-client.ts';

/** Keyed by `uid`, which no item but a record has. */
export const clustersIndex = 'clusters';
/** A page is up to 1 MiB of keys: some thousands of clusters. */
const mostPages = 100;

export async function listClusters(
  client: Pick<DynamoClient, 'scan'>,
  tableName: string,
): Promise<readonly string[]> {
  const clusters: string[] = [];
  let next: Record<string, unknown> | undefined;
  for (let page = 0; page < mostPages; page += 1) {
    const answer = await client.scan({
      TableName: tableName,
      IndexName: clustersIndex,
      ...(next === undefined ? {} : { ExclusiveStartKey: next }),
    });
    for (const item of answer.Items ?? []) clusters.push(clusterIn(readNonEmpty(item['pk'], 'pk')));
    next = answer.LastEvaluatedKey;
    if (next === undefined) return clusters;
  }
  throw new Error(`more than ${mostPages} pages of clusters`);
}

/** `cluster#main` is `main`. */
function clusterIn(pk: string): string {
  return pk.slice(pk.indexOf('#') + 1);
}
