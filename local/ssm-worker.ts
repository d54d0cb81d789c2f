/**
 * The process that plays amazon-ssm-agent on one host: keeps a request open to the runtime, runs the scripts of
 * the commands that it is given, and reports their output and their end until the runtime has taken it, also
 * over a restart of the runtime. Light, because one runs beside every node: nothing but Node's own modules.
 *
 * Usage: node ssm-worker.ts <config.json>, the file being an SsmWorkerConfig.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, type ClientRequest, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkerOrders, WorkerPoll, WorkerReport } from './aws/ssm-protocol.ts';
import { type RunningCommand, runCommand } from './ssm-run-command.ts';

export type SsmWorkerConfig = {
  readonly instanceId: string;
  /** The runtime's `http://host:port`. */
  readonly endpoint: string;
  /** The whole environment of the scripts, PATH included. */
  readonly environment: Readonly<Record<string, string>>;
  /** Holds the scripts while they run. */
  readonly workFolder: string;
  /** How many commands run at once (default 8). */
  readonly maxParallel?: number;
  /** The runtime's access key, where it asks for one. */
  readonly accessKeyId?: string;
};

/** Longer than the runtime holds a poll. */
const pollTimeoutMs = 30_000;
const reportTimeoutMs = 5_000;
/** Between attempts while the runtime is away. */
const retryMs = 100;
/** Output is sent at most this often while a script runs. */
const progressMs = 200;

const config = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as SsmWorkerConfig;
const workerId = randomUUID();
const maxParallel = config.maxParallel ?? 8;
const connections = new Agent({ keepAlive: true });
/** Commands that run, or whose end the runtime has not taken. */
const known = new Map<string, RunningCommand>();
let polling: { readonly request: ClientRequest; readonly free: number } | undefined;
let running = 0;

type Reply = { readonly status: number; readonly body: string };

function post(
  verb: 'poll' | 'report',
  message: unknown,
  timeoutMs: number,
  started?: (request: ClientRequest) => void,
) {
  return new Promise<Reply>((resolve, reject) => {
    const body = JSON.stringify(message);
    const headers: Record<string, string | number> = { 'content-length': Buffer.byteLength(body) };
    if (config.accessKeyId !== undefined) headers['authorization'] = `Bearer ${config.accessKeyId}`;
    const url = `${config.endpoint}/_leasehold/ssm/${config.instanceId}/${verb}`;
    const sent = request(url, { method: 'POST', agent: connections, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
      );
    });
    sent.setTimeout(timeoutMs, () => sent.destroy(new Error('no answer in time')));
    sent.on('error', reject);
    sent.end(body);
    started?.(sent);
  });
}

/** Asks for orders for as long as the process lives; between two polls it holds for no longer than a retry. */
async function pollForever(): Promise<never> {
  for (;;) {
    const startedMs = performance.now();
    const free = Math.max(0, maxParallel - running);
    let orders: WorkerOrders | undefined;
    try {
      const message: WorkerPoll = { workerId, known: [...known.keys()], free };
      const reply = await post('poll', message, pollTimeoutMs, (sent) => {
        polling = { request: sent, free };
      });
      if (reply.status === 200) orders = JSON.parse(reply.body) as WorkerOrders;
    } catch {
      // The runtime is away, or this poll was given up to ask anew; both mean: again.
    }
    const given = polling === undefined;
    polling = undefined;
    for (const { commandId, steps } of orders?.start ?? []) start(commandId, steps);
    for (const commandId of orders?.cancel ?? []) known.get(commandId)?.cancel();
    const isEmpty = (orders?.start.length ?? 0) + (orders?.cancel.length ?? 0) === 0;
    // An empty answer at once means that the runtime is going or that another worker has this host's name.
    if (isEmpty && !given && performance.now() - startedMs < retryMs) await sleep(retryMs);
  }
}

/** A poll that said "no room" is asked anew as soon as there is room. */
function roomAgain(): void {
  if (polling?.free !== 0) return;
  const { request: sent } = polling;
  polling = undefined;
  sent.destroy();
}

function start(commandId: string, steps: WorkerOrders['start'][number]['steps']): void {
  if (known.has(commandId)) return;
  running += 1;
  let progress: NodeJS.Timeout | undefined;
  const command = runCommand({
    commandId,
    steps,
    instanceId: config.instanceId,
    workFolder: config.workFolder,
    environment: config.environment,
    onOutput() {
      progress ??= setTimeout(() => {
        progress = undefined;
        void report('InProgress');
      }, progressMs);
    },
  });
  known.set(commandId, command);

  async function report(status: WorkerReport['status']): Promise<'taken' | 'unwanted' | 'away'> {
    const message: WorkerReport = { workerId, commandId, status, steps: command.steps() };
    try {
      const reply = await post('report', message, reportTimeoutMs);
      if (reply.status === 200) return 'taken';
      // 403 is a runtime that does not know our key yet; anything else that is refused stays refused.
      return reply.status === 409 || reply.status === 404 || reply.status === 400 ? 'unwanted' : 'away';
    } catch {
      return 'away';
    }
  }

  void report('InProgress').then((answer) => {
    // It ended before it began here: its time to be delivered was over, or it was cancelled.
    if (answer === 'unwanted') command.cancel();
  });
  void command.ended.then(async (status) => {
    clearTimeout(progress);
    progress = undefined;
    running -= 1;
    roomAgain();
    // For as long as it takes: the result is what the runtime must not lose. The process's own end bounds it.
    while ((await report(status)) === 'away') await sleep(retryMs);
    known.delete(commandId);
  });
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    for (const command of known.values()) command.cancel();
    process.exit(0);
  });
}

await pollForever();
