/**
 * A cluster that is deployed somewhere, known by its DSNs alone: clients write to it from here, and the event is an operator's, who is told what to
 * do and presses Enter at that moment; or a switchover that Step Functions is asked for. Nothing of the embedded runtime is needed.
 */
import { createInterface } from 'node:readline/promises';
import { createAwsClients } from '../../adapters/aws/clients.ts';
import { sleepMs } from '../../adapters/clock.ts';
import { connectInOrder, endQuietly } from '../measure/connect-in-order.ts';
import { InvalidOption } from '../read-options.ts';
import { withoutPasswords } from '../throughput/given-target.ts';
import {
  type PathName,
  type Paths,
  pathNames,
  type Scenario,
  type Strike,
  type SystemMaker,
  type SystemUnderTest,
  scenarioNames,
  scenarioWords,
} from './system-under-test.ts';

export interface Deployment {
  readonly paths: Paths;
  /** So many must stream for the cluster to count as whole. */
  readonly standbys: number;
  /** Null: every event is done by hand. Region and credentials are those of the environment. */
  readonly ask: { readonly stateMachineArn: string; readonly cluster: string } | null;
}

const connect = { connectTimeoutMs: 5_000, answerTimeoutMs: 5_000 };
const callTimeoutMs = 10_000;
const takeOverTimeoutMs = 120_000;
const lookMs = 200;

export function deployed(deployment: Deployment): SystemMaker {
  return {
    name: 'deployed',
    missingPackages: () => [],
    refuses: () => null,
    open: async ({ signal }) => {
      const system = new DeployedCluster(deployment);
      await system.untilWhole(takeOverTimeoutMs, signal);
      return system;
    },
  };
}

interface Sight {
  /** Address and port as the server has them: who it is. */
  readonly server: string;
  readonly streaming: number;
}

class DeployedCluster implements SystemUnderTest {
  readonly name = 'deployed';
  readonly settings: SystemUnderTest['settings'];
  readonly versions = {};
  readonly scenarios: ReadonlySet<Scenario> = new Set(scenarioNames);
  readonly paths: Paths;
  readonly #deployment: Deployment;
  readonly #dsns: readonly string[];

  constructor(deployment: Deployment) {
    this.#deployment = deployment;
    this.paths = deployment.paths;
    this.#dsns = Object.values(deployment.paths)[0] ?? [];
    this.settings = {
      standbys: deployment.standbys,
      event: deployment.ask === null ? 'by hand' : 'asked for',
    };
  }

  async untilWhole(timeoutMs: number, signal: AbortSignal): Promise<number> {
    const startedMs = performance.now();
    for (;;) {
      signal.throwIfAborted();
      const sight = await this.#look().catch((error: unknown) => String(error));
      const tookMs = performance.now() - startedMs;
      if (typeof sight !== 'string' && sight.streaming >= this.#deployment.standbys) return tookMs;
      if (tookMs > timeoutMs) {
        const what = typeof sight === 'string' ? sight : `${sight.streaming} standbys stream`;
        throw new Error(`not whole after ${Math.round(timeoutMs / 1000)} s: ${what}`);
      }
      await sleepMs(lookMs);
    }
  }

  async primary(): Promise<string> {
    return (await this.#look()).server;
  }

  /** Nodes may not be reached from here: the way that leads to the primary. */
  nodeDsn(): string {
    const [first] = this.#dsns;
    if (first === undefined) throw new Error('no DSN');
    return first;
  }

  async strike(scenario: Scenario, signal: AbortSignal): Promise<Strike> {
    const { ask } = this.#deployment;
    if (ask !== null && scenario === 'switchover') return this.#ask(ask, signal);
    await pressEnter(`Now: ${scenarioWords[scenario]}. Press Enter at that moment: `, signal);
    const atMs = performance.now();
    return {
      atMs,
      undo: async () => {
        if (scenario !== 'switchover' && !signal.aborted) {
          await pressEnter('Clients write again. Take it back, and press Enter: ', signal);
        }
      },
    };
  }

  async close(): Promise<void> {
    // It was there before, and stays.
  }

  async #ask(ask: NonNullable<Deployment['ask']>, signal: AbortSignal): Promise<Strike> {
    const primary = await this.primary();
    const clients = createAwsClients({ region: regionOf(ask.stateMachineArn) });
    const atMs = performance.now();
    try {
      const input = { cluster: ask.cluster, kind: 'switchover', reason: 'benchmark' };
      const name = `benchmark-${Date.now()}`;
      const answer = await clients.startExecution(
        { stateMachineArn: ask.stateMachineArn, name, input: JSON.stringify(input) },
        { timeoutMs: callTimeoutMs },
      );
      if (answer.kind !== 'ok') throw new Error(`Step Functions: ${answer.kind}: ${answer.message}`);
    } finally {
      clients.destroy();
    }
    const untilMs = atMs + takeOverTimeoutMs;
    while (performance.now() < untilMs) {
      signal.throwIfAborted();
      const now = await this.primary().catch(() => primary);
      if (now !== primary) return { atMs, undo: async () => undefined };
      await sleepMs(lookMs);
    }
    throw new Error(`nobody took over from ${primary} within ${takeOverTimeoutMs / 1000} s`);
  }

  /** Throws when nobody is open for writes. */
  async #look(): Promise<Sight> {
    const client = await connectInOrder(this.#dsns, connect);
    try {
      const { rows } = await client.query<{ server: string; streaming: string; standby: boolean }>(
        `select host(inet_server_addr()) || ':' || inet_server_port() as server, pg_is_in_recovery() as standby,
           (select count(*) from pg_stat_replication where state = 'streaming') as streaming`,
      );
      const [row] = rows;
      if (row === undefined || row.standby) throw new Error('the way leads to a standby');
      return { server: row.server, streaming: Number(row.streaming) };
    } finally {
      await endQuietly(client);
    }
  }
}

/** Part 4 of an ARN. */
function regionOf(arn: string): string {
  const region = arn.split(':')[3] ?? '';
  if (region === '') throw new InvalidOption('ask', arn, "a state machine's ARN");
  return region;
}

async function pressEnter(question: string, signal: AbortSignal): Promise<void> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    await terminal.question(question, { signal });
  } finally {
    terminal.close();
  }
}

/** `path=dsn`, once for each path, and for `multi-host` once for each node in the order in which they are tried. Throws what it was, and what it takes. */
export function readDsns(values: readonly string[]): Paths {
  const paths: Partial<Record<PathName, string[]>> = {};
  for (const value of values) {
    const [, name = '', dsn = ''] = /^([a-z-]+)=(postgres(?:ql)?:\/\/.+)$/.exec(value) ?? [];
    const path = pathNames.find((known) => known === name);
    if (path === undefined || !URL.canParse(dsn) || (path !== 'multi-host' && paths[path] !== undefined)) {
      throw new InvalidOption(
        'dsn',
        withoutPasswords(value),
        `<path>=postgres://..., each path once (multi-host: once a node), of ${pathNames.join(', ')}`,
      );
    }
    paths[path] = [...(paths[path] ?? []), dsn];
  }
  return paths;
}
