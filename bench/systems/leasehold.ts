/**
 * Leasehold as a system under test: a temporary cluster of the embedded runtime, struck by the faults that the chaos run draws
 * from, and watched and repaired as its operator would.
 */
import { sleepMs } from '../../adapters/clock.ts';
import type { OperationKind } from '../../core/model/cluster-record.ts';
import { embeddedLeaseTimes } from '../../core/wire/parse-cluster-file.ts';
import type { LatencyProfile } from '../../local/aws/latency-profile.ts';
import { faultNamed } from '../../local/faults/all-faults.ts';
import type { Fault } from '../../local/faults/fault.ts';
import { Operator } from '../../local/faults/operator.ts';
import type { ClusterHandle } from '../../local/runtime/cluster-handle.ts';
import { wholeAgain } from '../chaos/episode.ts';
import { openTemporaryCluster, type TemporaryCluster } from '../temporary-cluster.ts';
import { leaseholdHistory } from './leasehold-history.ts';
import {
  type OpenSystem,
  type Paths,
  type Scenario,
  type Strike,
  type SystemHistory,
  type SystemMaker,
  type SystemUnderTest,
  scenarioNames,
} from './system-under-test.ts';
import { versionOfServer } from './version-of-server.ts';

/** As the design's budgets have them: a lease that is written over a network lives longer. */
const leaseTimes: Readonly<Record<LatencyProfile, { readonly ttlMs: number; readonly heartbeatMs: number }>> =
  {
    none: embeddedLeaseTimes,
    aws: { ttlMs: 5_000, heartbeatMs: 1_000 },
  };

/** Beyond the longest lease that can be asked for here. */
const takeOverTimeoutMs = 120_000;
const lookMs = 50;

/** Which fault of `local/faults/` a scenario is, and what an operator asks for at the same moment. */
const strikes: Readonly<Record<Scenario, { readonly fault?: string; readonly ask?: OperationKind }>> = {
  switchover: { ask: 'switchover' },
  'host-killed': { fault: 'primary-host-killed' },
  'postgres-killed': { fault: 'primary-postmaster-killed' },
  'agent-killed': { fault: 'primary-agent-killed' },
  'postmaster-stopped': { fault: 'primary-postmaster-stopped' },
  'store-away': { fault: 'dynamodb-away' },
  partition: { fault: 'primary-cut-from-everything' },
  'failover-asked': { fault: 'primary-host-killed', ask: 'failover' },
  'failover-asked-without-proof': { fault: 'primary-host-killed-without-proof', ask: 'failover' },
};

export const leasehold: SystemMaker = {
  name: 'leasehold',
  missingPackages: () => [],
  refuses: () => null,
  open: async (options) => {
    const { mode, hosts, latency, signal, onProgress } = options;
    const lease = leaseTimesOf(options);
    const temporary = await openTemporaryCluster({ mode, hosts, latency, lease, signal, onProgress });
    try {
      const version = await versionOfServer(temporary.cluster.dsn(await temporary.cluster.primary()));
      return new LeaseholdUnderTest(temporary, options, version);
    } catch (error) {
      await temporary.close(false);
      throw error;
    }
  },
};

class LeaseholdUnderTest implements SystemUnderTest {
  readonly name = leasehold.name;
  readonly settings: SystemUnderTest['settings'];
  readonly versions: SystemUnderTest['versions'];
  readonly scenarios: ReadonlySet<Scenario>;
  readonly paths: Paths;
  readonly #temporary: TemporaryCluster;
  readonly #operator: Operator;

  constructor(temporary: TemporaryCluster, options: OpenSystem, postgres: string) {
    const { dsn } = temporary.cluster.endpoints();
    this.#temporary = temporary;
    this.#operator = new Operator(temporary.cluster);
    this.settings = leaseTimesOf(options);
    this.versions = { postgres };
    this.scenarios = new Set(scenarioNames.filter((name) => isPossible(faultOf(name), options.hosts)));
    this.paths = {
      endpoint: [dsn.endpoint],
      haproxy: [dsn.primary],
      'multi-host': temporary.cluster.wanted.nodes.map((node) => temporary.cluster.dsn(node)),
    };
  }

  async untilWhole(timeoutMs: number, signal: AbortSignal): Promise<number> {
    const startedMs = performance.now();
    const surroundings = {
      cluster: this.#cluster,
      operator: this.#operator,
      signal,
      wholeTimeoutMs: timeoutMs,
    };
    const missing = await wholeAgain(surroundings, () => undefined);
    if (missing !== null) throw new Error(`${this.name} is not whole ${missing}`);
    return performance.now() - startedMs;
  }

  primary(): Promise<string> {
    return this.#cluster.primary();
  }

  nodeDsn(node: string): string {
    return this.#cluster.dsn(node);
  }

  async strike(scenario: Scenario, signal: AbortSignal): Promise<Strike> {
    const primary = await this.primary();
    const fault = faultOf(scenario);
    const { ask } = strikes[scenario];
    const undo = await fault?.apply(this.#cluster, fault.strikes === 'cluster' ? '' : primary);
    try {
      if (ask !== undefined) await this.#ask(ask, primary, signal);
    } catch (error) {
      await undo?.();
      throw error;
    }
    return { undo: async () => undo?.() };
  }

  historySince(struck: Date): Promise<SystemHistory> {
    return leaseholdHistory(this.#cluster.store(), struck);
  }

  async close(keep: boolean): Promise<void> {
    this.#operator.close();
    await this.#temporary.close(keep);
  }

  get #cluster(): ClusterHandle {
    return this.#temporary.cluster;
  }

  async #ask(kind: OperationKind, primary: string, signal: AbortSignal): Promise<void> {
    const answer = await this.#operator.ask(kind, 'benchmark');
    if (answer !== 'started') throw new Error(`Step Functions answered to a ${kind}: ${answer}`);
    const untilMs = performance.now() + takeOverTimeoutMs;
    while (performance.now() < untilMs) {
      signal.throwIfAborted();
      const head = await this.#cluster.store().readHead();
      const lease = head.kind === 'ok' ? head.value.lease : null;
      if (lease?.state === 'held' && lease.holder !== primary) return;
      await sleepMs(lookMs);
    }
    throw new Error(`nobody took over from ${primary} within ${takeOverTimeoutMs / 1000} s`);
  }
}

function leaseTimesOf({ latency, ttlMs }: Pick<OpenSystem, 'latency' | 'ttlMs'>) {
  const usual = leaseTimes[latency];
  return ttlMs === null ? usual : { ...usual, ttlMs };
}

function faultOf(scenario: Scenario): Fault | null {
  const { fault } = strikes[scenario];
  return fault === undefined ? null : faultNamed(fault);
}

function isPossible(fault: Fault | null, hosts: OpenSystem['hosts']): boolean {
  return fault?.needs !== 'netns' || hosts === 'netns';
}
