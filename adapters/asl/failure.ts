// How a state fails: the error name and cause that Retry, Catch, the history and the API show. Failures of a state are
// data and are stored; only inside one evaluation step do they travel as an exception.

export interface Failure {
  error: string | null;
  cause: string | null;
  /** A missed heartbeat. AWS names it States.Timeout in the history, yet States.HeartbeatTimeout matches it as well. */
  heartbeat: boolean;
}

export const QUERY_EVALUATION_ERROR = 'States.QueryEvaluationError';
export const DATA_LIMIT_EXCEEDED = 'States.DataLimitExceeded';
export const RUNTIME_ERROR = 'States.Runtime';
export const TIMEOUT_ERROR = 'States.Timeout';

/** What a task invoker throws to fail its task with an error name that Retry and Catch can match. */
export class AslTaskError extends Error {
  readonly error: string;
  override readonly cause: string;

  constructor(error: string, cause = '') {
    super(cause === '' ? error : `${error}: ${cause}`);
    this.name = 'AslTaskError';
    this.error = error;
    this.cause = cause;
  }
}

/** Raised inside one step of one state; the driver turns it into that state's stored failure. */
export class StateFailure extends Error {
  readonly failure: Failure;
  /** The field whose evaluation failed, e.g. `Arguments/Payload/node`; null when it was no evaluation. */
  readonly location: string | null;

  constructor(error: string, cause: string, location: string | null = null) {
    super(`${error}: ${cause}`);
    this.name = 'StateFailure';
    this.failure = { error, cause, heartbeat: false };
    this.location = location;
  }
}
