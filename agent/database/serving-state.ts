/** What the health endpoints are told of PostgreSQL: "does not answer" and "answers with an error" are one to a load balancer. */
import type { HealthFacts } from '../../core/host/health.ts';
import type { Look } from './server.ts';

export function servingState(look: Look | null): HealthFacts['postgres'] {
  switch (look?.postgres.kind) {
    case 'primary':
    case 'standby':
      return 'running';
    case 'starting-up':
      return 'starting';
    case 'unreachable':
    case 'query-failed':
      return 'unreachable';
    default:
      return 'stopped';
  }
}
