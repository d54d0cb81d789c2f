/**
 * Drills in DynamoDB: beside the operations, under keys of their own, written by whoever runs the drill and by nobody else. Nothing
 * about a cluster's safety is decided by them.
 */
import type { Drill } from '../../core/model/drill.ts';
import { drillToItem, parseDrill } from '../../core/wire/parse-drill.ts';
import type { ItemCalls } from './item-calls.ts';
import { mapOk } from './operation-items.ts';
import type { Answer, CallOptions } from './store-answer.ts';

export interface DrillStore {
  /** Makes it, or replaces what was said of it before. */
  putDrill(drill: Drill, o?: CallOptions): Promise<Answer<void>>;
  /** Newest first. */
  listDrills(limit: number, o?: CallOptions): Promise<Answer<readonly Drill[]>>;
}

export function createDrillStore(calls: ItemCalls, cluster: string): DrillStore {
  const pk = `cluster#${cluster}#operations`;
  return {
    async putDrill(drill: Drill, o?: CallOptions): Promise<Answer<void>> {
      const answer = await calls.put({ ...drillToItem(drill), pk, sk: `drill#${drill.id}` }, {}, o);
      if (answer.kind === 'refused') throw new Error('a put without a condition was refused');
      return answer;
    },
    async listDrills(limit: number, o: CallOptions = {}): Promise<Answer<readonly Drill[]>> {
      const input = {
        KeyConditionExpression: 'pk = :pk AND begins_with(sk, :drill)',
        ExpressionAttributeValues: { ':pk': pk, ':drill': 'drill#' },
        ScanIndexForward: false,
      };
      return mapOk(await calls.query(input, { ...o, limit }), (items) => items.map(parseDrill));
    },
  };
}
