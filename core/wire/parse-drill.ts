/** A drill, read from and written to DynamoDB. */
import type { CanaryFigures, Drill, DrillKind, DrillStatus } from '../model/drill.ts';
import { count, type Item, id, itemShape, nonEmpty, nullable, oneOf, positive, text } from './item-shape.ts';

export const drillKinds: readonly DrillKind[] = ['switchover', 'fault'];
const statuses: readonly DrillStatus[] = ['running', 'succeeded', 'failed'];

const drillShape = itemShape<Drill>({
  id: nonEmpty,
  kind: oneOf(drillKinds),
  status: oneOf(statuses),
  requestedBy: text,
  startedAt: nonEmpty,
  endedAt: nullable(nonEmpty),
  from: id,
  to: nullable(id),
  operation: nullable(nonEmpty),
  everyMs: positive,
  canary: nullable(
    itemShape<CanaryFigures>({
      gapMs: count,
      acknowledged: count,
      failed: count,
      unknown: count,
      lost: nullable(count),
    }),
  ),
  outcome: text,
});

/** Throws InvalidInput, naming the attribute as `drill.<attribute>`. */
export function parseDrill(item: unknown): Drill {
  return drillShape.read(item, 'drill');
}

export function drillToItem(drill: Drill): Item {
  return drillShape.write(drill);
}
