/**
 * What this node says of itself in DynamoDB: written at once when something but a position changes, else at the pace of
 * `core/model/report-pace.ts`. One write in flight at a time.
 */
import { walPosition } from '../../adapters/postgres/observe.ts';
import { reportedHealth } from '../../core/host/host-health.ts';
import { type Lsn, lsnBytesBetween } from '../../core/model/lsn.ts';
import type { NodeReport, PostgresState } from '../../core/model/node-report.ts';
import { reportEveryMs } from '../../core/model/report-pace.ts';
import type { HostContext } from './host-context.ts';
import type { Look } from './server.ts';

export class Reporter {
  readonly #context: HostContext;
  #last: NodeReport | null = null;
  #lastText = '';
  #written: { readonly atMs: number } & Position = {
    atMs: Number.NEGATIVE_INFINITY,
    lsn: null,
    lagBytes: null,
  };
  #changedMs = Number.NEGATIVE_INFINITY;
  #seq = 0;
  #writing = false;

  constructor(context: HostContext) {
    this.#context = context;
  }

  last(): NodeReport | null {
    return this.#last;
  }

  async report(look: Look, activity: NodeReport['activity'], detail: string): Promise<void> {
    const { now, keeper, store, log } = this.#context;
    const report = this.#describe(look, activity, detail);
    this.#last = report;
    const text = JSON.stringify(
      { ...report, lsn: null, replayLsn: null, lagBytes: null, seq: 0 },
      bigintAsText,
    );
    const nowMs = now();
    const changed = text !== this.#lastText;
    if (changed) this.#changedMs = nowMs;
    const everyMs = reportEveryMs({
      inOperation: keeper.view().record?.operation != null,
      unchangedForMs: nowMs - this.#changedMs,
      movedBytes: moved(this.#written, report),
    });
    if (this.#writing || (!changed && nowMs - this.#written.atMs <= everyMs)) return;
    this.#writing = true;
    this.#seq += 1;
    // Not awaited: a round must not wait for a report.
    void store
      .putNodeReport({ ...report, seq: this.#seq }, { timeoutMs: 2_000 })
      .then((put) => {
        if (put.kind === 'ok') {
          this.#lastText = text;
          this.#written = { atMs: now(), lsn: report.lsn, lagBytes: report.lagBytes };
        } else if (put.kind === 'refused') {
          log('error', 'another instance has registered under this node id', { instance: report.instanceId });
        } else log('warn', 'report not written', { error_kind: put.kind });
      })
      .finally(() => {
        this.#writing = false;
      });
  }

  #describe(look: Look, activity: NodeReport['activity'], detail: string): NodeReport {
    const { config, writer, release, server, keeper, wakeUp } = this.#context;
    const { observation } = look;
    const { watch, failsafe, heldBack } = keeper.view();
    const { lease } = watch;
    const health = this.#context.health();
    const secrets = this.#context.secretUse();
    const primary = look.postgres.kind === 'primary';
    const standby = look.postgres.kind === 'standby' ? look.postgres : null;
    const lsn = observation === null ? null : walPosition(observation);
    const following = server.following();
    const upstreamReport = this.#context.nodes().find((node) => node.node === following?.node);
    const behind =
      standby !== null && lsn !== null && upstreamReport?.lsn != null
        ? lsnBytesBetween(lsn, upstreamReport.lsn)
        : null;
    return {
      node: config.node,
      incarnation: writer.incarnation,
      instanceId: config.instanceId,
      seq: this.#seq,
      role: primary ? 'primary' : standby !== null ? 'standby' : 'none',
      postgres: stateOf(look),
      activity,
      detail,
      systemIdentifier: observation?.systemIdentifier ?? look.control?.systemIdentifier ?? null,
      timeline: observation?.timeline ?? look.control?.checkpointTimeline ?? null,
      epoch: primary ? (lease?.epoch ?? null) : (following?.epoch ?? null),
      lsn,
      replayLsn: observation?.replayedLsn ?? null,
      lagBytes: behind === null ? null : Math.max(0, behind),
      streaming: standby?.streaming ?? false,
      upstream: following?.node ?? null,
      slots: (observation?.slots ?? []).map((slot) => slot.name).sort(),
      tags: config.tags,
      health: reportedHealth(health, lease?.ttlMs ?? 0),
      diskLow: health.disk.low === true,
      failsafe: failsafe.active || heldBack?.rule === 'promised',
      ...(secrets === undefined ? {} : { secrets }),
      addresses: {
        host: config.host,
        port: config.postgres.port,
        restPort: this.#context.restPort(),
        wakePort: wakeUp.port,
      },
      version: observation?.version ?? '',
      ...(release === null ? {} : { agent: release }),
    };
  }
}

type Position = Pick<NodeReport, 'lsn' | 'lagBytes'>;

/** In bytes, by its own position or away from its upstream's: one that stands still falls behind. */
function moved(from: Position, to: Position): number {
  return Math.max(movedOn(from.lsn, to.lsn), (to.lagBytes ?? 0) - (from.lagBytes ?? 0));
}

/** Of a position that appears, goes or goes back: a lot. */
function movedOn(from: Lsn | null, to: Lsn | null): number {
  if (from === to) return 0;
  const bytes = from === null || to === null ? -1 : lsnBytesBetween(from, to);
  return bytes < 0 ? Number.POSITIVE_INFINITY : bytes;
}

function stateOf(look: Look): PostgresState {
  if (look.dataDirectory === 'absent') return 'absent';
  switch (look.postgres.kind) {
    case 'primary':
    case 'standby':
      return 'running';
    case 'starting-up':
      return 'starting_up';
    case 'unreachable':
      return 'unreachable';
    case 'query-failed':
      return 'query_failed';
    case 'stopped':
    case 'orphaned':
      return 'stopped';
  }
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
