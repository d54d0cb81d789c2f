/** A DynamoDB client that says of each request what it was, how long its answer took, and what came of it. */
import type { DocumentClient } from '../../adapters/aws/item-calls.ts';
import { Latencies } from './latencies.ts';

export const requestKinds = [
  'write of the lease',
  'read of lease and record',
  'report',
  'read of reports',
] as const;
export type RequestKind = (typeof requestKinds)[number];
export type RequestOutcome = 'answered' | 'refused' | 'throttled' | 'failed';

export class RequestFigures {
  readonly latencies = Object.fromEntries(requestKinds.map((kind) => [kind, new Latencies()])) as Record<
    RequestKind,
    Latencies
  >;
  readonly outcomes: Record<RequestOutcome, number> = { answered: 0, refused: 0, throttled: 0, failed: 0 };

  record(kind: RequestKind, outcome: RequestOutcome, ms: number): void {
    this.outcomes[outcome] += 1;
    // What was never answered took as long as its asker was willing to wait.
    this.latencies[kind].record(ms);
  }
}

/** `figures`: to be filled at the moment of an answer; null: nothing is counted now. */
export function meteredClient(client: DocumentClient, figures: () => RequestFigures | null): DocumentClient {
  const metered =
    <I extends object, O extends unknown[], A>(call: (input: I, ...rest: O) => Promise<A>) =>
    async (input: I, ...rest: O): Promise<A> => {
      const startedMs = performance.now();
      const kind = kindOf(input);
      try {
        const answer = await call(input, ...rest);
        figures()?.record(kind, 'answered', performance.now() - startedMs);
        return answer;
      } catch (error) {
        figures()?.record(kind, outcomeOf(error), performance.now() - startedMs);
        throw error;
      }
    };
  return {
    query: metered(client.query),
    put: metered(client.put),
    update: metered(client.update),
    remove: metered(client.remove),
  };
}

/** From the client's input, in which attributes are plain values. */
export function kindOf(input: object): RequestKind {
  if ('Key' in input) return 'write of the lease';
  if ('Item' in input) return 'report';
  const values =
    'ExpressionAttributeValues' in input ? Object.values(input.ExpressionAttributeValues ?? {}) : [];
  const ofReports = values.some((value) => /^cluster#[^#]*#/.test(String(value)));
  return ofReports ? 'read of reports' : 'read of lease and record';
}

export function outcomeOf(error: unknown): RequestOutcome {
  const name = error instanceof Error ? error.name : '';
  if (name === 'ConditionalCheckFailedException') return 'refused';
  return /Throttl|ProvisionedThroughputExceeded|RequestLimitExceeded/.test(name) ? 'throttled' : 'failed';
}
