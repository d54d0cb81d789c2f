/**
 * What clients and probes saw of a cluster, as plain data on one monotonic clock (milliseconds): the input of the checker. Every
 * append is a new row of a client's own sequence; a probe is a write at a node directly, past the proxies.
 */

/**
 * `failed`: certainly not done (no connection, or the server refused it). `unknown`: sent, and the answer is missing or is
 * PostgreSQL's warning of a cancelled wait for synchronous replication.
 */
export type Outcome = 'acknowledged' | 'failed' | 'unknown';

export interface Append {
  readonly client: number;
  /** From 1, without a gap; a client sends the next only after the end of the one before. */
  readonly sequence: number;
  /** When the client wanted to send it; later than that only because the one before was not over. */
  readonly dueMs: number;
  readonly sentMs: number;
  readonly endedMs: number;
  readonly outcome: Outcome;
}

/** A write that PostgreSQL accepted, and which server that was: from an append's answer or from a probe. */
export interface AcceptedWrite {
  readonly node: string;
  readonly timeline: number;
  /** It took effect at some moment between these two. */
  readonly sentMs: number;
  readonly answeredMs: number;
}

/** A row as the final primary has it. */
export interface Row {
  readonly client: number;
  readonly sequence: number;
  /** In the order in which servers executed the appends. */
  readonly position: number;
}

/** The lease as it was seen at a moment. */
export interface SeenEpoch {
  readonly epoch: number;
  readonly holder: string;
}

export interface Violation {
  /** Which rule of docs/faults.md does not hold. */
  readonly rule:
    | 'acknowledged-write-lost'
    | 'loss-not-reported'
    | 'two-nodes-accept-writes'
    | 'write-doubled'
    | 'write-out-of-order'
    | 'refused-write-present'
    | 'unsent-write-present'
    | 'epoch-went-back'
    | 'epoch-with-two-holders'
    | 'not-whole-again';
  readonly message: string;
}
