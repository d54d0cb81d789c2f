/**
 * An operation is one failover or switchover from begin to end; an action is one thing that one host must do in it.
 * Both are items in DynamoDB: the durable history that the CLI and the console show, and the mailbox through which a
 * host finds its action when Run Command is away. Whichever way an action arrives first claims it, once.
 */
import type { FailoverState, OperationKind } from './cluster-record.ts';
import type { NodeId } from './lease.ts';

export type ActionVerb =
  | 'checkpoint'
  | 'await-catchup'
  | 'follow'
  | 'end-receiver'
  | 'stop-and-release'
  | 'acquire-and-promote'
  | 'pause'
  | 'resume';

export const actionVerbs: readonly ActionVerb[] = [
  'checkpoint',
  'await-catchup',
  'follow',
  'end-receiver',
  'stop-and-release',
  'acquire-and-promote',
  'pause',
  'resume',
];

/** Verbs that a proxy executes; all others are a database node's. */
export const proxyVerbs: readonly ActionVerb[] = ['pause', 'resume'];

/** What a verb is told, beyond its operation and epoch. Unknown keys are refused by core/wire. */
export interface ActionArguments {
  /** follow: whom. stop-and-release: to whom. await-catchup: behind whom. */
  readonly node?: NodeId;
  /** await-catchup: replay must come within this many bytes. */
  readonly maxLagBytes?: number;
  /** stop-and-release: these proxies must have paused, and this action must be claimed, before it stops. */
  readonly proxies?: readonly NodeId[];
  readonly armed?: readonly string[];
}

export type ActionStatus = 'ordered' | 'claimed' | 'succeeded' | 'failed';

export interface Action {
  readonly operation: string;
  /** `<verb>@<node>#<attempt>`: unique in its operation. */
  readonly action: string;
  readonly step: FailoverState;
  readonly node: NodeId;
  readonly verb: ActionVerb;
  /** The lease's epoch when the action was ordered; refused when the lease has moved on. */
  readonly epoch: number;
  readonly args: ActionArguments;
  /** Counted on the host from its claim. */
  readonly timeoutMs: number;
  readonly status: ActionStatus;
  /** The incarnation of the agent that executes it. */
  readonly claimedBy: string | null;
  /** acquire-and-promote: what can be done before the lease is free is done. Missing: not yet, or there is nothing that could take long. */
  readonly prepared?: boolean;
  readonly taskToken: string | null;
  readonly commandId: string | null;
  readonly result: ActionResult | null;
}

/** What an action found or did: plain data, as JSON; LSNs as PostgreSQL writes them. */
export interface ActionResult {
  readonly ok: boolean;
  /** `kind` of the error when not ok, else ''. */
  readonly error: string;
  readonly message: string;
  /** Monotonic duration on the host. */
  readonly ms: number;
  readonly timeline?: number;
  readonly receivedLsn?: string;
  readonly replayedLsn?: string;
  readonly releasedAtLsn?: string;
  readonly forkLsn?: string;
  readonly epoch?: number;
  /** acquire-and-promote failed and gave the lease back: it was never writable. */
  readonly neverPromoted?: boolean;
}

export function actionId(verb: ActionVerb, node: NodeId, attempt: number): string {
  return `${verb}@${node}#${attempt}`;
}

export type OperationStatus = 'running' | 'succeeded' | 'aborted' | 'failed';

export interface OperationStep {
  readonly step: FailoverState;
  /** ISO 8601, for people; durations come from `ms`. */
  readonly startedAt: string;
}

export interface Operation {
  readonly id: string;
  readonly kind: OperationKind;
  readonly status: OperationStatus;
  readonly reason: string;
  readonly requestedBy: string;
  readonly from: NodeId;
  readonly target: NodeId | null;
  readonly epoch: number;
  readonly executionArn: string | null;
  readonly steps: readonly OperationStep[];
  readonly startedAt: string;
  readonly endedAt: string | null;
  /** Why it was aborted or failed. */
  readonly outcome: string;
  /** The operator accepted that acknowledged commits may be lost. */
  readonly acceptDataLoss: boolean;
}

/** What an execution of the state machine may be started with; `{"cluster":"main"}` is enough. */
export interface OperationRequest {
  readonly cluster: string;
  readonly kind: OperationKind | null;
  readonly target: NodeId | null;
  readonly reason: string;
  readonly requestedBy: string;
  /** A failover asked for by hand may promote a standby that lacks acknowledged commits. */
  readonly acceptDataLoss: boolean;
  /** The lease's epoch that it was asked in: refused when the lease has moved on meanwhile. Null: whatever the epoch. */
  readonly epoch: number | null;
}
