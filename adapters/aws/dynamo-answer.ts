/** What DynamoDB answers when it does not do what it was asked, as errors that `store-answer.ts` can tell apart, and the time it has. */

interface RefusedAnswer {
  readonly status: number;
  readonly text: string;
}

/** Named as the service names it: `com.amazonaws.dynamodb.v20120810#ThrottlingException` is a ThrottlingException. */
export function serviceError({ status, text }: RefusedAnswer): Error {
  let name = 'UnknownError';
  let message = text.slice(0, 200);
  try {
    const { __type, message: said, Message } = JSON.parse(text) as Record<string, unknown>;
    if (typeof __type === 'string') name = __type.slice(__type.lastIndexOf('#') + 1);
    message = String(said ?? Message ?? '');
  } catch {
    // A proxy's page, or half an answer: the status says what there is to say.
  }
  return Object.assign(new Error(message), { name, $metadata: { httpStatusCode: status } });
}

/** An answer of 200 that is no JSON. */
export function unreadable(error: unknown): Error {
  const cause = error instanceof Error ? error : new Error(String(error));
  return Object.assign(new SyntaxError(cause.message), { $metadata: { httpStatusCode: 200 } });
}

/** AWS refuses what was signed five minutes ago or more. */
const mostSkewMs = 4 * 60_000;

/** The time for signatures: this host's, or where a refusal came with another one, that of the service. It decides nothing else. */
export class SkewedClock {
  #offsetMs = 0;

  now(): Date {
    return new Date(Date.now() + this.#offsetMs);
  }

  /** `date`: of the answer to a request that was refused. */
  learn(date: string | undefined): void {
    const serviceMs = Date.parse(date ?? '');
    if (Number.isNaN(serviceMs)) return;
    if (Math.abs(serviceMs - this.now().getTime()) >= mostSkewMs) this.#offsetMs = serviceMs - Date.now();
  }
}
