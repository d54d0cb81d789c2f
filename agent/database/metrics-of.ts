/** What the agent of a database host knows now, for `/metrics`: the last look, the lease, nothing that has to be waited for. */
import type { MetricFacts } from '../../core/host/metrics.ts';
import type { NodeReport } from '../../core/model/node-report.ts';
import type { HostContext } from './host-context.ts';

export function metricsOf(context: HostContext, report: NodeReport | null): MetricFacts {
  const { config, keeper, server, now } = context;
  const { record, watch, holdStage, failsafe, heldBack, answeredMs } = keeper.view();
  const look = server.last();
  const observation = look?.observation ?? null;
  const secondsSince = (ms: number): number => (now() - ms) / 1000;
  const silentSeconds = answeredMs === null ? null : secondsSince(answeredMs);
  return {
    cluster: config.cluster,
    node: config.node,
    running: observation !== null,
    role: report?.role ?? 'none',
    sync: watch.lease?.sync.mode !== 'off' && (watch.lease?.sync.names.includes(config.node) ?? false),
    streaming: look?.postgres.kind === 'standby' && look.postgres.streaming,
    replayPaused: observation?.replayPaused ?? false,
    pendingRestart: observation?.pendingRestart ?? false,
    currentLsn: observation?.currentLsn ?? null,
    receivedLsn: observation?.receivedLsn ?? null,
    replayedLsn: observation?.replayedLsn ?? null,
    timeline: observation?.timeline ?? null,
    serverVersion: observation?.version ?? '',
    lagBytes: report?.lagBytes ?? null,
    leaseHeld: watch.lease?.state === 'held',
    epoch: watch.lease?.epoch ?? null,
    holdStage,
    failsafeActive: failsafe.active,
    failsafeSeconds: failsafe.sinceMs === null ? 0 : secondsSince(failsafe.sinceMs),
    heldBack: heldBack?.rule === 'promised',
    paused: record?.paused ?? false,
    // For people's dashboards; no decision uses it.
    storeAnsweredAt: silentSeconds === null ? null : Math.round(Date.now() / 1000 - silentSeconds),
    storeSilentSeconds: silentSeconds,
  };
}
