/**
 * One question and its answer between two agents, or an operator's terminal and an agent: JSON under an HMAC-SHA256 with the
 * secret of the cluster. The code covers direction and path too, so that nothing said in one place can be said again in another;
 * an answer repeats the question's nonce, so that an old answer is never taken for a new one. Nothing is parsed before it is authentic.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export type Direction = 'question' | 'answer';

/** The header that carries the code. */
export const macHeader = 'x-leasehold-mac';

export const mostMessageBytes = 16_384;

export interface Question {
  readonly cluster: string;
  /** Who asks, and the random name of that process's run. */
  readonly from: string;
  readonly boot: string;
  readonly to: string;
  /** The run of the process that is asked, '' while it is not known: what was asked of a former one is not taken up again. */
  readonly toBoot: string;
  /** Rises with each question of this run. */
  readonly counter: number;
  readonly nonce: string;
  readonly body: unknown;
}

export interface Answer {
  readonly from: string;
  readonly boot: string;
  readonly nonce: string;
  /** `introduce`: nothing was done, ask again with this `boot`. */
  readonly kind: 'done' | 'introduce' | 'refused';
  /** Why it was refused; else ''. */
  readonly message: string;
  readonly body: unknown;
}

export function macOf(direction: Direction, path: string, text: string, secret: string): string {
  return createHmac('sha256', secret)
    .update(`leasehold peer 1\n${direction}\n${path}\n`)
    .update(text)
    .digest('base64url');
}

/** Null for anything but an authentic message in that direction on that path. */
export function openMessage(
  direction: Direction,
  path: string,
  text: string,
  mac: unknown,
  secrets: readonly string[],
): Record<string, unknown> | null {
  const given = Buffer.from(String(mac));
  const isBy = (secret: string): boolean => {
    const wanted = Buffer.from(macOf(direction, path, text, secret));
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  };
  if (!secrets.some(isBy)) return null;
  try {
    const message: unknown = JSON.parse(text);
    return typeof message === 'object' && message !== null ? (message as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

export function readQuestion(message: Record<string, unknown>): Question | null {
  const { cluster, from, boot, to, toBoot, counter, nonce, body } = message;
  const texts = [cluster, from, boot, to, toBoot, nonce];
  if (!texts.every((text) => typeof text === 'string' && text.length <= 200)) return null;
  if (!Number.isSafeInteger(counter)) return null;
  return { cluster, from, boot, to, toBoot, counter, nonce, body } as Question;
}

export function readAnswer(message: Record<string, unknown>): Answer | null {
  const { from, boot, nonce, kind, message: why, body } = message;
  if (![from, boot, nonce, why].every((text) => typeof text === 'string')) return null;
  if (kind !== 'done' && kind !== 'introduce' && kind !== 'refused') return null;
  return { from, boot, nonce, kind, message: why, body } as Answer;
}
