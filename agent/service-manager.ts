/**
 * What the agent tells systemd: that it is up, until that was heard once, and then with every word again; and at a third of the unit's
 * WatchdogSec that its event loop goes round. An agent that falls silent is killed and started again; PostgreSQL is the guard's care
 * meanwhile. The event loop is what is watched, for it keeps the lease: a round of the host may rightly wait for minutes, to copy a database
 * or for a frozen disk. Node has no unix datagram sockets, so each word is one short run of `systemd-notify`, which a machine without memory
 * or time may refuse: the unit's time-out leaves room for many. Outside systemd nothing is told.
 */
import { runProgram } from '../adapters/process.ts';

export interface ServiceManagerDeps {
  /** NOTIFY_SOCKET and WATCHDOG_USEC (microseconds), as systemd sets them. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: (level: 'warn', message: string, fields: Record<string, unknown>) => void;
  /** Resolves to why it was not told, or null. */
  readonly notify?: (socket: string, words: readonly string[]) => Promise<string | null>;
}

const notifyTimeoutMs = 5_000;
const retryMs = 1_000;
const pingsPerTimeout = 3;

/** The agent is up. What is returned ends the telling. */
export function tellServiceManager(deps: ServiceManagerDeps): () => void {
  const { environment, log, notify = runNotify } = deps;
  const socket = environment['NOTIFY_SOCKET'] ?? '';
  const watchdogMs = Number(environment['WATCHDOG_USEC'] ?? 0) / 1000;
  if (socket === '') return () => undefined;
  const isWatched = watchdogMs > 0;
  const up = ['--ready', `--status=runs as process ${process.pid}`];
  const words = isWatched ? [...up, 'WATCHDOG=1'] : up;
  let over = false;
  let timer: NodeJS.Timeout | undefined;
  const tell = async (): Promise<void> => {
    const failure = await within(notifyTimeoutMs, notify(socket, words));
    if (failure !== null) log('warn', 'systemd was not told', { error: failure });
    if (over || (failure === null && !isWatched)) return;
    timer = setTimeout(() => void tell(), failure === null ? watchdogMs / pingsPerTimeout : retryMs);
  };
  void tell();
  return () => {
    over = true;
    clearTimeout(timer);
  };
}

/** A program that does not even die when it is killed, on a frozen disk, is not waited for. */
async function within(limitMs: number, told: Promise<string | null>): Promise<string | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve('no answer'), limitMs);
  });
  try {
    return await Promise.race([told.catch((error: unknown) => String(error)), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function runNotify(socket: string, words: readonly string[]): Promise<string | null> {
  const told = await runProgram(['systemd-notify', ...words], {
    timeoutMs: notifyTimeoutMs,
    env: { NOTIFY_SOCKET: socket },
  });
  if (told.kind !== 'exited') return told.kind;
  return told.exitCode === 0 ? null : `systemd-notify ended with ${told.exitCode}: ${told.stderrTail.trim()}`;
}
