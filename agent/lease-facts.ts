/** What of the lease a decision can depend on, as one text to compare: `seq`, which each renewal raises, is not among it. */
import type { HoldStage } from '../core/lease/lease-clock.ts';
import type { ClusterRecord } from '../core/model/cluster-record.ts';
import type { Lease } from '../core/model/lease.ts';

export function leaseFacts(
  headRead: boolean,
  record: ClusterRecord | null,
  lease: Lease | null,
  stage: HoldStage,
): string {
  const { state, epoch, holder, incarnation, operation, successor } = lease ?? {};
  return [headRead, record?.version, state, epoch, holder, incarnation, operation, successor, stage].join(
    ' ',
  );
}
