// What a node's report says that it is busy with.

import type { HostDecision } from '../../core/host/host-rules.ts';
import type { NodeReport } from '../../core/model/node-report.ts';

/** `underWay` is the long order that is being carried out, whatever was decided since; null when there is none. */
export function activityOf(underWay: string | null, decision: HostDecision): NodeReport['activity'] {
  switch (underWay ?? decision.order.kind) {
    case 'bootstrap':
    case 'adopt-directory':
      return 'bootstrapping';
    case 'clone':
      return 'cloning';
    case 'rewind':
      return 'rewinding';
    case 'rebuild':
      return 'rebuilding';
    case 'refuse':
      return 'refused';
    default:
      return decision.rule.includes('wait') || decision.rule.startsWith('no-primary') ? 'waiting' : 'none';
  }
}
