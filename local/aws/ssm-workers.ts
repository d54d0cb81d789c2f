/**
 * The runtime's side of the channel to the hosts' workers: hands them commands the moment they arrive, through
 * a request that each worker keeps open, takes their reports, and knows by their presence which hosts are
 * online. A command is handed out again until its worker has said that it knows it, and a worker that lost
 * what it ran is not waited for.
 */
import type { ServerResponse } from 'node:http';
import { isObject } from './json-value.ts';
import type { WorkerChannel } from './server.ts';
import type { CommandStore } from './ssm-commands.ts';
import type { WorkerOrders, WorkerPoll, WorkerReport } from './ssm-protocol.ts';
import { send } from './wire.ts';

export type SsmWorkers = WorkerChannel & {
  /** Tells the host's worker that there is something for it. */
  wake(instanceId: string): void;
  /** Whether the host's worker is there, and when it was last heard (epoch milliseconds). */
  presence(instanceId: string): { readonly online: boolean; readonly lastSeenMs: number | undefined };
  /** Ends all polls. */
  close(): void;
};

/** Long enough to cost nothing, shorter than any idle time-out between here and there. */
const holdMs = 20_000;
/** A worker between two polls is still there. */
const presenceMs = 2_000;
/** What a start reads as, to an operator, when the worker forgot the command with its own restart. */
const lostMessage = 'the agent restarted while it ran this command\n';

type Poll = { readonly request: WorkerPoll; answer(orders: WorkerOrders): void };
type Host = {
  poll: Poll | undefined;
  lastSeenMs: number | undefined;
  cancelSent: Set<string>;
  workerId: string;
};

/** `isUnderWay`: a command that no host has yet, however often its worker asks. */
export function createSsmWorkers(
  commands: CommandStore,
  isUnderWay: (commandId: string) => boolean = () => false,
): SsmWorkers {
  const hosts = new Map<string, Host>();

  function hostOf(instanceId: string): Host {
    const host = hosts.get(instanceId) ?? {
      poll: undefined,
      lastSeenMs: undefined,
      cancelSent: new Set(),
      workerId: '',
    };
    hosts.set(instanceId, host);
    return host;
  }

  function ordersFor(instanceId: string, host: Host, { known, free, workerId }: WorkerPoll): WorkerOrders {
    const start: WorkerOrders['start'][number][] = [];
    const cancel: string[] = [];
    for (const { command, invocation } of commands.open(instanceId)) {
      const { commandId, steps } = command;
      const isKnown = known.includes(commandId);
      const isToBegin = invocation.status === 'Pending' && !isKnown && !isUnderWay(commandId);
      if (isToBegin && start.length < free) start.push({ commandId, steps });
      if (invocation.status !== 'Pending' && !isKnown && invocation.workerId !== workerId) {
        invocation.steps = invocation.steps.map((step) =>
          step.status === 'InProgress'
            ? { ...step, status: 'Failed', stderr: step.stderr + lostMessage }
            : step,
        );
        commands.end(command, invocation, 'Failed', 'Failed');
      }
      if (invocation.status === 'Cancelling' && isKnown && !host.cancelSent.has(commandId))
        cancel.push(commandId);
    }
    return { start, cancel };
  }

  function answerIfAny(instanceId: string, host: Host): void {
    if (host.poll === undefined) return;
    const orders = ordersFor(instanceId, host, host.poll.request);
    if (orders.start.length === 0 && orders.cancel.length === 0) return;
    for (const commandId of orders.cancel) host.cancelSent.add(commandId);
    host.poll.answer(orders);
  }

  function poll(instanceId: string, request: WorkerPoll, response: ServerResponse): void {
    const host = hostOf(instanceId);
    // A worker polls one request at a time: an older one is a connection that it has given up.
    host.poll?.answer({ start: [], cancel: [] });
    if (host.workerId !== request.workerId) host.cancelSent.clear();
    host.workerId = request.workerId;
    host.lastSeenMs = Date.now();
    const current: Poll = {
      request,
      answer(orders) {
        clearTimeout(timer);
        if (host.poll === current) host.poll = undefined;
        host.lastSeenMs = Date.now();
        send(response, 200, 'application/json', JSON.stringify(orders));
      },
    };
    const timer = setTimeout(() => current.answer({ start: [], cancel: [] }), holdMs);
    response.on('close', () => {
      clearTimeout(timer);
      if (host.poll === current) host.poll = undefined;
    });
    host.poll = current;
    answerIfAny(instanceId, host);
  }

  return {
    handle(path, body, response) {
      const [instanceId = '', verb = ''] = path.split('/');
      const reply = (status: number) => send(response, status, 'application/json', '{}');
      const message = parse(body);
      if (verb === 'poll' && isPoll(message)) poll(instanceId, message, response);
      else if (verb === 'report' && isReport(message)) {
        hostOf(instanceId).lastSeenMs = Date.now();
        reply(commands.report(instanceId, message) === 'taken' ? 200 : 409);
      } else reply(400);
    },
    wake(instanceId) {
      answerIfAny(instanceId, hostOf(instanceId));
    },
    presence(instanceId) {
      const host = hosts.get(instanceId);
      const heard = host?.lastSeenMs !== undefined && Date.now() - host.lastSeenMs < presenceMs;
      return { online: host?.poll !== undefined || heard, lastSeenMs: host?.lastSeenMs };
    },
    close() {
      for (const host of hosts.values()) host.poll?.answer({ start: [], cancel: [] });
    },
  };
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

function isPoll(message: unknown): message is WorkerPoll {
  return isObject(message) && typeof message['workerId'] === 'string' && Array.isArray(message['known']);
}

function isReport(message: unknown): message is WorkerReport {
  return isObject(message) && typeof message['commandId'] === 'string' && Array.isArray(message['steps']);
}
