/** How `leasehold drill` and `leasehold drills` show drills in a terminal. Pure. */
import type { DrillSummary } from '../core/drill/drill-history.ts';
import type { Drill, DrillKind } from '../core/model/drill.ts';
import { table } from './terminal.ts';

export function renderDrill(drill: Drill): string {
  const { canary } = drill;
  const saw =
    canary === null
      ? 'the canary saw nothing'
      : `longest gap ${canary.gapMs} ms (a row was due every ${drill.everyMs} ms), ${canary.acknowledged} rows ` +
        `acknowledged, ${canary.lost ?? 'unknown how many'} lost, ${canary.failed + canary.unknown} errors`;
  return `drill ${drill.id}: ${drill.status}, ${drill.from} -> ${drill.to ?? '?'}\n${saw}`;
}

/** `drills` newest first. */
export function renderDrills(
  drills: readonly Drill[],
  summaries: Readonly<Record<DrillKind, DrillSummary>>,
): string {
  if (drills.length === 0) return 'no drill yet';
  const rows = drills.map(({ startedAt, kind, from, to, status, canary, outcome }) => [
    startedAt,
    kind,
    `${from} -> ${to ?? '?'}`,
    status,
    canary?.gapMs ?? null,
    canary === null ? null : canary.failed + canary.unknown,
    canary?.lost ?? null,
    outcome,
  ]);
  const lines = (Object.entries(summaries) as [DrillKind, DrillSummary][])
    .filter(([, summary]) => summary.drills > 0)
    .map(([kind, summary]) => `${kind}: ${gapText(summary)}; ${summary.failed} failed`);
  const titles = ['started', 'kind', 'from -> to', 'status', 'gap (ms)', 'errors', 'lost', 'outcome'];
  return [table([titles, ...rows]), ...lines].join('\n');
}

function gapText({ gapMs, succeeded }: DrillSummary): string {
  if (gapMs === null) return 'none has succeeded yet';
  return `gap p50 ${gapMs.p50} ms, p99 ${gapMs.p99} ms, longest ${gapMs.max} ms, of ${succeeded} that succeeded`;
}
