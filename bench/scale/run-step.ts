/** One step of the scale suite: so many clusters against one table for a while, and what came of it. Ends the programs that it starts. */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { type UsageLine, usageBetween } from '../../local/aws/usage-meter.ts';
import { Latencies } from './latencies.ts';
import type { AgentsFigures, AgentsMessage, AgentsTask, EndpointMessage } from './messages.ts';
import { type RequestKind, type RequestOutcome, requestKinds } from './metered-client.ts';
import type { DeadlineFigures } from './simulated-cluster.ts';

export interface StepFigures {
  readonly clusters: number;
  readonly seconds: number;
  readonly requestsPerSecond: number;
  readonly outcomes: Readonly<Record<RequestOutcome, number>>;
  readonly latencyMs: Readonly<Record<RequestKind, Readonly<Record<'p50' | 'p99' | 'most', number | null>>>>;
  readonly deadlines: DeadlineFigures;
  /** Clusters whose deadline had passed at the end. */
  readonly overdue: number;
  /** Shares of one core. The busiest of the programs that play agents; null for an endpoint elsewhere. */
  readonly agentsCpu: number;
  readonly endpointCpu: number | null;
  /** Units a second; null for an endpoint elsewhere. */
  readonly units: { readonly read: number; readonly write: number } | null;
}

/** Where the table is, and how to ask what it has used; null where that cannot be asked. */
export interface Endpoint {
  readonly aws: AgentsTask['aws'];
  readonly tableName: string;
  use(): Promise<EndpointUse | null>;
  close(): void;
}

interface EndpointUse {
  readonly cpuSeconds: number;
  readonly usage: readonly UsageLine[];
}

const startTimeoutMs = 30_000;
/** To make clusters takes longer the more there are. */
const patienceMs = (clusters: number): number => 60_000 + 100 * clusters;

/** The embedded DynamoDB in a process of its own. */
export async function openEmbeddedEndpoint(signal: AbortSignal): Promise<Endpoint> {
  const child = fork(join(import.meta.dirname, 'endpoint-program.ts'), { serialization: 'json' });
  const next = () => answerOf<EndpointMessage>(child, startTimeoutMs, signal);
  try {
    const first = await next();
    if (first.kind !== 'listening') throw new Error('the endpoint did not say where it listens');
    const { endpoint, tableName } = first;
    return {
      aws: {
        region: 'us-east-1',
        endpoint,
        credentials: { accessKeyId: 'bench', secretAccessKey: 'bench' },
      },
      tableName,
      async use() {
        const answer = next();
        child.send('use');
        const use = await answer;
        return use.kind === 'use' ? use : null;
      },
      close: () => void child.kill('SIGKILL'),
    };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

/** Throws when the clusters could not be made, a program ended early, or the signal was aborted. */
export async function runStep(
  endpoint: Endpoint,
  task: Omit<AgentsTask, 'aws' | 'tableName'> & { readonly workers: number },
  signal: AbortSignal,
): Promise<StepFigures> {
  const { clusters, settleMs, measureMs } = task;
  const workers = Math.min(task.workers, clusters);
  const timeoutMs = patienceMs(clusters) + settleMs + measureMs;
  const children = Array.from({ length: workers }, () =>
    fork(join(import.meta.dirname, 'agents-program.ts'), { serialization: 'json' }),
  );
  try {
    const counting = children.map(async (child, at) => {
      const share = Math.floor((clusters + at) / workers);
      const { aws, tableName } = endpoint;
      child.send({
        ...task,
        aws,
        tableName,
        prefix: `${task.prefix}-${at}`,
        clusters: share,
      } satisfies AgentsTask);
      await told(child, 'counting', timeoutMs, signal);
      return told(child, 'figures', timeoutMs, signal);
    });
    // What the endpoint uses is counted from when the first program counts, over the same length of time.
    const begun = Promise.race(children.map((child) => told(child, 'counting', timeoutMs, signal)));
    const [before, ...figures] = await Promise.all([begun.then(() => endpoint.use()), ...counting]);
    const after = await endpoint.use();
    const counted = figures.flatMap((one) => (one.kind === 'figures' ? [one.figures] : []));
    return summary(clusters, counted, before === null || after === null ? null : { before, after });
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}

function summary(
  clusters: number,
  figures: readonly AgentsFigures[],
  endpoint: { readonly before: EndpointUse; readonly after: EndpointUse } | null,
): StepFigures {
  const seconds = Math.max(...figures.map((one) => one.seconds));
  const outcomes = added(figures.map((one) => one.outcomes));
  const requests = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  const used = endpoint === null ? [] : usageBetween(endpoint.before.usage, endpoint.after.usage);
  const perSecond = (name: 'readUnits' | 'writeUnits') =>
    used.reduce((sum, line) => sum + line[name], 0) / seconds;
  return {
    clusters,
    seconds,
    requestsPerSecond: requests / seconds,
    outcomes,
    latencyMs: latenciesOf(figures),
    deadlines: added(figures.map((one) => one.deadlines)),
    overdue: figures.reduce((sum, one) => sum + one.overdue, 0),
    agentsCpu: Math.max(...figures.map((one) => one.cpuSeconds / one.seconds)),
    endpointCpu:
      endpoint === null ? null : (endpoint.after.cpuSeconds - endpoint.before.cpuSeconds) / seconds,
    units: endpoint === null ? null : { read: perSecond('readUnits'), write: perSecond('writeUnits') },
  };
}

function latenciesOf(figures: readonly AgentsFigures[]): StepFigures['latencyMs'] {
  const entries = requestKinds.map((kind) => {
    const all = new Latencies();
    for (const one of figures) all.add(one.latencies[kind]);
    const [p50, p99, most] = [50, 99, 100].map((at) => all.percentileMs(at) ?? null);
    return [kind, { p50, p99, most }];
  });
  return Object.fromEntries(entries) as StepFigures['latencyMs'];
}

function added<Name extends string>(all: readonly Readonly<Record<Name, number>>[]): Record<Name, number> {
  const sum: Record<string, number> = {};
  for (const one of all) {
    for (const [name, value] of Object.entries<number>(one)) sum[name] = (sum[name] ?? 0) + value;
  }
  return sum as Record<Name, number>;
}

/** Passes over other messages. */
async function told(
  child: ChildProcess,
  kind: AgentsMessage['kind'],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<AgentsMessage> {
  const untilMs = performance.now() + timeoutMs;
  for (;;) {
    const message = await answerOf<AgentsMessage>(child, Math.max(1, untilMs - performance.now()), signal);
    if (message.kind === 'failed') throw new Error(`the simulated agents: ${message.reason}`);
    if (message.kind === kind) return message;
  }
}

function answerOf<Message>(child: ChildProcess, timeoutMs: number, signal: AbortSignal): Promise<Message> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => settle(() => reject(new Error('a program of the bench does not answer'))),
      timeoutMs,
    );
    const onMessage = (message: unknown) => settle(() => resolve(message as Message));
    const onExit = (code: number | null) =>
      settle(() => reject(new Error(`a program of the bench ended: ${code}`)));
    const onAbort = () => settle(() => reject(signal.reason));
    const settle = (end: () => void): void => {
      clearTimeout(timer);
      child.off('message', onMessage).off('exit', onExit);
      signal.removeEventListener('abort', onAbort);
      end();
    };
    child.once('message', onMessage).once('exit', onExit);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}
