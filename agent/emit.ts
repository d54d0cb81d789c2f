/**
 * Log lines and events of an agent: one JSON line each on standard output (journald and the embedded runtime keep them),
 * and for what people must be able to look up later also an item in DynamoDB, when that answers: an event is never a
 * reason to wait.
 */
import { ulid } from 'ulid';
import type { ClusterStore } from '../adapters/aws/cluster-store.ts';
import { boundedDetails, type EventDetails, type EventKind } from '../core/model/cluster-event.ts';
import { EventOutbox } from './event-outbox.ts';

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

export function createEmit(deps: { store: ClusterStore; log: Log; who: string }): Emit {
  const outbox = new EventOutbox({
    store: deps.store,
    log: (message, fields) => deps.log('warn', message, fields),
  });
  return (kind, message, fields = {}) => {
    const { details, ...rest } = fields;
    deps.log('info', kind, { ...rest, ...details, detail: message });
    outbox.add({
      id: ulid(),
      kind,
      time: new Date().toISOString(),
      who: deps.who,
      rule: fields.rule ?? '',
      epoch: fields.epoch ?? null,
      operation: fields.operation ?? null,
      message,
      ...(details === undefined ? {} : { details: boundedDetails(details) }),
    });
  };
}
