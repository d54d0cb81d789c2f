/**
 * What a call to DynamoDB may answer, and how the SDK's errors become those answers. An operating error (no answer, throttled,
 * denied) is a value that the caller must look at; a condition that failed is an answer as good as any; everything else
 * is a bug and is thrown. Upholds: `unreachable` never means that a write did not happen.
 */

/** An operating error: `unreachable` leaves open whether a write was made; `throttled` and `denied` mean it was not. */
export interface StoreFailure {
  readonly kind: 'unreachable' | 'throttled' | 'denied';
  readonly message: string;
}

export interface Ok<T> {
  readonly kind: 'ok';
  readonly value: T;
}

export type Answer<T> = Ok<T> | StoreFailure;

/** `refused`: the condition did not hold. */
export type Conditional<T> = Answer<T> | { readonly kind: 'refused' };

export interface CallOptions {
  /** One attempt that is abandoned after so long; without it a bounded number of attempts. */
  readonly timeoutMs?: number;
}

export function ok<T>(value: T): Ok<T> {
  return { kind: 'ok', value };
}

/** DynamoDB's "not now, and not written": too many requests, or one from another region for the same item. */
const throttling = new Set([
  'ProvisionedThroughputExceededException',
  'RequestLimitExceeded',
  'ThrottlingException',
  'Throttling',
  'ThrottledException',
  'TooManyRequestsException',
  'LimitExceededException',
  'ReplicatedWriteConflictException',
]);

const denial = new Set([
  'AccessDeniedException',
  'AccessDenied',
  'UnauthorizedOperation',
  'AuthFailure',
  'UnrecognizedClientException',
  'InvalidClientTokenId',
  'InvalidSignatureException',
  'IncompleteSignature',
  'MissingAuthenticationToken',
  'ExpiredTokenException',
  'ExpiredToken',
  'CredentialsProviderError',
  'OptInRequired',
]);

const network = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EAI_FAIL',
  'EMFILE',
  'ENOBUFS',
]);

const noAnswer = new Set([
  'AbortError',
  'TimeoutError',
  'RequestTimeout',
  'RequestTimeoutException',
  'InternalServerError',
  'InternalServerErrorException',
  'InternalFailure',
  'InternalError',
  'ServiceUnavailable',
  'ServiceUnavailableException',
]);

interface ErrorFacts {
  readonly name: string;
  readonly message: string;
  readonly code: string;
  readonly httpStatus: number | null;
  readonly parsed: boolean;
}

/** The operating error that `error` is, or null when it is none: then it is a bug and to be thrown again. */
export function storeFailure(error: unknown): StoreFailure | null {
  const facts = factsOf(error);
  if (facts === null) return null;
  const message = `${facts.name}: ${facts.message}`.slice(0, 500);
  if (throttling.has(facts.name)) return { kind: 'throttled', message };
  if (denial.has(facts.name)) return { kind: 'denied', message };
  if (network.has(facts.code) || noAnswer.has(facts.name)) return { kind: 'unreachable', message };
  if (facts.httpStatus !== null && facts.httpStatus >= 500) return { kind: 'unreachable', message };
  // An answer cut off in the middle, or a proxy's page instead of JSON: the SDK fails to parse it.
  if (error instanceof SyntaxError && facts.parsed) return { kind: 'unreachable', message };
  return null;
}

/** What a service answers, with operating errors as values. `named`: errors, by name, that are answers too. Throws what is a bug. */
export async function answerOf<T>(
  named: Readonly<Record<string, T>>,
  send: () => Promise<T>,
): Promise<Answer<T>> {
  try {
    return ok(await send());
  } catch (error) {
    const name = error instanceof Error ? error.name : '';
    if (Object.hasOwn(named, name)) return ok(named[name] as T);
    const failure = storeFailure(error);
    if (failure === null) throw error;
    return failure;
  }
}

/** True when nothing can have been written: the connection was never made, or the service said no. */
export function certainlyNotMade(failure: StoreFailure, error: unknown): boolean {
  if (failure.kind !== 'unreachable') return true;
  return ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'].includes(
    factsOf(error)?.code ?? '',
  );
}

export function isConditionFailed(error: unknown): boolean {
  return factsOf(error)?.name === 'ConditionalCheckFailedException';
}

function factsOf(error: unknown): ErrorFacts | null {
  if (!(error instanceof Error)) return null;
  const { code, $metadata, $response } = error as Error & {
    code?: unknown;
    $metadata?: { httpStatusCode?: number };
    $response?: unknown;
  };
  return {
    name: error.name,
    message: error.message,
    code: typeof code === 'string' ? code : '',
    httpStatus: $metadata?.httpStatusCode ?? null,
    parsed: $response !== undefined || $metadata !== undefined,
  };
}
