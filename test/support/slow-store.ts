/**
 * A store on a slow or broken line, for tests with fake timers: what is asked may arrive late or never, and so may the answer. As on
 * a real line, a call that ran out of time may still land.
 */
import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import type { CallOptions } from '../../adapters/aws/store-answer.ts';

export interface Line {
  /** The request lands after so long. */
  readonly requestMs?: number;
  /** The answer takes so long to come back. */
  readonly answerMs?: number;
  readonly lost?: 'request' | 'answer';
  /** A bug: the call throws. */
  readonly throws?: boolean;
}

export interface LineCall {
  readonly name: keyof ClusterStore;
  /** The kind of a lease write, else ''. */
  readonly kind: string;
  readonly atMs: number;
}

const never = new Promise<never>(() => undefined);
const defaultTimeoutMs = 5_000;

const delay = (ms: number): Promise<void> =>
  ms === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));

/** `line` is asked before each call; `calls` collects all of them. */
export function slowStore(
  inner: ClusterStore,
  line: (call: LineCall) => Line,
  now: () => number,
): { readonly store: ClusterStore; readonly calls: LineCall[] } {
  const calls: LineCall[] = [];
  const wrapped = Object.entries(inner).map(([name, method]) => [
    name,
    async (...args: unknown[]) => {
      const kind = name === 'writeLease' ? (args[0] as { kind: string }).kind : '';
      const call = { name: name as keyof ClusterStore, kind, atMs: now() };
      calls.push(call);
      const { requestMs = 0, answerMs = 0, lost, throws } = line(call);
      if (throws) throw new Error('InvariantViolation: a bug in the store');
      const carried = async (): Promise<unknown> => {
        await delay(requestMs);
        if (lost === 'request') return never;
        const answer = await (method as (...given: unknown[]) => Promise<unknown>)(...args);
        await delay(answerMs);
        return lost === 'answer' ? never : answer;
      };
      const timeoutMs = timeoutOf(args);
      const timedOut = delay(timeoutMs).then(() => ({ kind: 'unreachable', message: 'TimeoutError' }));
      return await Promise.race([carried(), timedOut]);
    },
  ]);
  return { store: Object.fromEntries(wrapped) as ClusterStore, calls };
}

function timeoutOf(args: readonly unknown[]): number {
  const last = args.at(-1);
  return (last as CallOptions | undefined)?.timeoutMs ?? defaultTimeoutMs;
}
