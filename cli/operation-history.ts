/**
 * What `leasehold history` shows: operations, newest first, with how long each step took. Pure. Steps know when they began; a
 * step ends where the next begins, the last one where the operation ended.
 */
import type { Operation } from '../core/model/operation.ts';
import { table } from './terminal.ts';

export interface StepDuration {
  readonly step: string;
  /** Null while it is under way. */
  readonly ms: number | null;
}

export interface OperationSummary {
  readonly id: string;
  readonly kind: Operation['kind'];
  readonly status: Operation['status'];
  readonly from: string;
  readonly target: string | null;
  readonly epoch: number;
  readonly reason: string;
  readonly requestedBy: string;
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly ms: number | null;
  readonly steps: readonly StepDuration[];
  readonly outcome: string;
  readonly acceptDataLoss: boolean;
}

export function summarise(operation: Operation): OperationSummary {
  const { id, kind, status, from, target, epoch, reason, requestedBy, startedAt, endedAt, outcome } =
    operation;
  const { acceptDataLoss } = operation;
  const begins = operation.steps.map(({ startedAt: at }) => Date.parse(at));
  const end = endedAt === null ? null : Date.parse(endedAt);
  return {
    id,
    kind,
    status,
    from,
    target,
    epoch,
    reason,
    requestedBy,
    startedAt,
    endedAt,
    ms: end === null ? null : end - Date.parse(startedAt),
    steps: operation.steps.map(({ step }, at) => {
      const next = begins[at + 1] ?? end;
      const begin = begins[at];
      return { step, ms: next === null || begin === undefined ? null : next - begin };
    }),
    outcome,
    acceptDataLoss,
  };
}

/** For a terminal. */
export function renderHistory(operations: readonly OperationSummary[]): string {
  if (operations.length === 0) return 'no operation yet';
  const rows = operations.flatMap((operation) => [
    [
      operation.startedAt,
      operation.kind,
      `${operation.from} -> ${operation.target ?? '?'}`,
      operation.status,
      operation.ms === null ? 'under way' : `${operation.ms} ms`,
      (operation.outcome === '' ? operation.reason : operation.outcome) +
        (operation.acceptDataLoss ? ' (data loss accepted)' : ''),
    ],
    ...operation.steps.map(({ step, ms }) => [
      '',
      '',
      `  ${step}`,
      '',
      ms === null ? 'under way' : `${ms} ms`,
      '',
    ]),
  ]);
  return table([['started', 'operation', 'from -> to', 'status', 'took', 'why'], ...rows]);
}
