/**
 * What the agent tells systemd: that it is up, and at a third of the unit's WatchdogSec that its event loop goes round. An agent that falls
 * silent is killed and started again; PostgreSQL is the guard's care meanwhile. The event loop is what is watched, for it keeps the lease:
 * a round of the host may rightly wait for minutes, to copy a database or for a frozen disk. Node has no unix datagram sockets, so each word
 * is one short run of `systemd-notify`. Outside systemd nothing is told.
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
const pingsPerTimeout = 3;

/** The agent is up. What is returned ends the telling. */
export function tellServiceManager(deps: ServiceManagerDeps): () => void {
  const { environment, log, notify = runNotify } = deps;
  const socket = environment['NOTIFY_SOCKET'] ?? '';
  const watchdogMs = Number(environment['WATCHDOG_USEC'] ?? 0) / 1000;
  if (socket === '') return () => undefined;
  let telling = false;
  const tell = async (words: readonly string[]): Promise<void> => {
    // A word that is on its way for so long says that the machine has no time; a second one would not help.
    if (telling) return;
    telling = true;
    const failure = await notify(socket, words).catch((error: unknown) => String(error));
    telling = false;
    if (failure !== null) log('warn', 'systemd was not told', { error: failure });
  };
  const told = tell(['--ready', `--status=runs as process ${process.pid}`]);
  if (!(watchdogMs > 0)) return () => undefined;
  const timer = setInterval(() => void told.then(() => tell(['WATCHDOG=1'])), watchdogMs / pingsPerTimeout);
  return () => clearInterval(timer);
}

async function runNotify(socket: string, words: readonly string[]): Promise<string | null> {
  const told = await runProgram(['systemd-notify', ...words], {
    timeoutMs: notifyTimeoutMs,
    env: { NOTIFY_SOCKET: socket },
  });
  if (told.kind !== 'exited') return told.kind;
  return told.exitCode === 0 ? null : `systemd-notify ended with ${told.exitCode}: ${told.stderrTail.trim()}`;
}
