/**
 * Log lines and events of an agent: one JSON line each on standard output (journald and the embedded runtime keep them),
 * and for what people must be able to look up later also an item in DynamoDB. An event that cannot be written is a log
 * line, never a reason to wait.
 */
import { ulid } from 'ulid';
import type { ClusterStore } from '../adapters/aws/cluster-store.ts';
import { boundedDetails, type EventDetails, type EventKind } from '../core/model/cluster-event.ts';

export type Level = 'debug' | 'info' | 'warn' | 'error';

export type Log = (level: Level, message: string, fields?: Record<string, unknown>) => void;

export interface EventFields {
  readonly rule?: string;
  readonly epoch?: number | null;
  readonly operation?: string | null;
  readonly details?: EventDetails;
}

export type Emit = (kind: EventKind, message: string, fields?: EventFields) => void;

const levels: Record<Level, number> = { debug: 7, info: 6, warn: 4, error: 3 };

/** Logs as systemd knows levels (`<4>` first) when `LEASEHOLD_LOG_PREFIX` is set, else plain JSON lines. */
export function createLog(base: Record<string, unknown>, least: Level = 'info'): Log {
  const prefix = process.env.LEASEHOLD_LOG_PREFIX !== undefined;
  return (level, message, fields = {}) => {
    if (levels[level] > levels[least]) return;
    const line = JSON.stringify({ time: new Date().toISOString(), level, message, ...base, ...fields });
    process.stdout.write(`${prefix ? `<${levels[level]}>` : ''}${line}\n`);
  };
}

/** Events in flight at once; more are logged and dropped. */
const maxPendingEvents = 100;

export function createEmit(deps: { store: ClusterStore; log: Log; who: string }): Emit {
  let pending = 0;
  return (kind, message, fields = {}) => {
    const { details, ...rest } = fields;
    deps.log('info', kind, { ...rest, ...details, detail: message });
    if (pending >= maxPendingEvents) return;
    pending += 1;
    const event = {
      id: ulid(),
      kind,
      time: new Date().toISOString(),
      who: deps.who,
      rule: fields.rule ?? '',
      epoch: fields.epoch ?? null,
      operation: fields.operation ?? null,
      message,
      ...(details === undefined ? {} : { details: boundedDetails(details) }),
    };
    void deps.store
      .putEvent(event, { timeoutMs: 2_000 })
      .then((answer) => {
        if (answer.kind !== 'ok')
          deps.log('warn', 'event not written', { event: kind, error_kind: answer.kind });
      })
      .finally(() => {
        pending -= 1;
      });
  };
}
