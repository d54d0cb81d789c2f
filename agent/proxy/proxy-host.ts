/**
 * The agent of a proxy host: watches lease and record, and drives HAProxy and PgBouncer as `core/host/decide-proxy.ts`
 * says (invariant P1). It never waits for a health check: the lease is the truth, the checks are the fallback.
 */
import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import type { ProxyEndpoint } from '../../adapters/proxy/endpoint.ts';
import type { WakeUp } from '../../adapters/wake-up.ts';
import { decideProxy, type ProxyOrder, type ProxyState } from '../../core/host/decide-proxy.ts';
import type { HealthFacts } from '../../core/host/health.ts';
import type { HostSecretUse } from '../../core/model/cluster-secrets.ts';
import type { ProxyHostConfig } from '../../core/model/host-config.ts';
import { type AgentRelease, defaultTags, type ProxyReport } from '../../core/model/node-report.ts';
import type { Action } from '../../core/model/operation.ts';
import { reportEveryMs } from '../../core/model/report-pace.ts';
import { type ActionContext, type ActionOutcome, failed, succeeded } from '../action-runner.ts';
import type { Emit, Log } from '../emit.ts';
import type { LeaseKeeper } from '../lease-keeper.ts';
import type { NodeDirectory } from '../node-directory.ts';

/** How long open transactions may hold up a pause. */
const drainMs = 1_000;
/** A pause ends by itself after this long, also when this agent is hung. */
const holdMs = 30_000;
const unknownHolderEveryMs = 100;
const reportTimeoutMs = 1_000;
/** The old primary waits 1.5 s for all pauses: one report that is lost must leave time for another. */
const pauseReportTimeoutMs = 500;
const reportAgainMs = 50;

export interface ProxyHostDeps {
  readonly config: ProxyHostConfig;
  readonly incarnation: string;
  /** What this agent came with; null: with no artifact. */
  readonly release: AgentRelease | null;
  readonly store: ClusterStore;
  readonly keeper: LeaseKeeper;
  readonly endpoint: ProxyEndpoint;
  readonly wakeUp: WakeUp;
  readonly directory: NodeDirectory;
  readonly restPort: () => number;
  /** TLS is required and this proxy does not serve it yet. */
  readonly lacksCertificate: () => boolean;
  /** How far this host has followed rotations; undefined: it follows none. */
  readonly secretUse: () => HostSecretUse | undefined;
  readonly now: () => number;
  readonly emit: Emit;
  readonly log: Log;
}

export class ProxyHost {
  readonly #deps: ProxyHostDeps;
  #nodesReadMs = Number.NEGATIVE_INFINITY;
  #reportedMs = Number.NEGATIVE_INFINITY;
  #saysSinceMs = Number.NEGATIVE_INFINITY;
  #reportSeq = 0;
  #lastReport = '';
  #routedEpoch: number | null = null;
  #routedTo: string | null = null;
  #paused = false;
  #pausedFor: string | null = null;
  /** The operation whose pause is known to be in the table. */
  #pauseToldFor: string | null = null;
  #pausedSinceMs = 0;
  #pauseFailedFor: string | null = null;
  #cut = false;
  #detail = '';
  #working = false;
  #again = false;
  #replicas = '';

  constructor(deps: ProxyHostDeps) {
    this.#deps = deps;
  }

  /** Something changed, or time passed: observe, decide, act; one round at a time, and again if asked meanwhile. */
  reconcile(): void {
    if (this.#working) {
      this.#again = true;
      return;
    }
    this.#working = true;
    void this.#round()
      .catch((error: unknown) => this.#deps.log('error', 'proxy round failed', { error: String(error) }))
      .finally(() => {
        this.#working = false;
        if (this.#again) {
          this.#again = false;
          this.reconcile();
        }
      });
  }

  /** At the agent's start: what HAProxy and PgBouncer, which outlive the agent, do now. */
  async adopt(): Promise<void> {
    const status = await this.#deps.endpoint.status();
    this.#routedEpoch = status.epoch;
    this.#routedTo = status.epoch === null ? null : status.routesTo;
    this.#paused = status.paused === true;
    this.#pausedSinceMs = this.#deps.now();
    this.#cut = status.routesTo === null;
  }

  /** The endpoint opened by itself after a pause that nobody ended; it routes nowhere until told. */
  pauseExpired(): void {
    this.#deps.emit('proxy_pause_expired', 'a pause was never ended', { operation: this.#pausedFor });
    this.#paused = false;
    this.#pausedFor = null;
    this.#routedEpoch = null;
    this.#routedTo = null;
    this.#cut = true;
    this.reconcile();
  }

  isRouting(): boolean {
    return this.#routedEpoch !== null && !this.#paused && !this.#cut;
  }

  /** For the health checks of whatever stands before this proxy: ready while it lets clients through. */
  health(): HealthFacts {
    return {
      postgres: 'running',
      role: 'primary',
      leaseValid: this.isRouting(),
      handingOver: false,
      streaming: false,
      lagBytes: null,
      sync: false,
      quorum: false,
      tags: defaultTags,
      loopAlive: true,
    };
  }

  status(): object {
    return {
      proxy: this.#deps.config.node,
      epoch: this.#routedEpoch,
      routesTo: this.#routedTo,
      paused: this.#paused,
      pausedFor: this.#pausedFor,
      detail: this.#detail,
    };
  }

  /** The workflow's `pause`: from now on this proxy looks closely, and pauses when the hand-over is announced. */
  async arm(action: Action, context: ActionContext): Promise<ActionOutcome> {
    // Also makes the console connections that the pause will need.
    const status = await this.#deps.endpoint.status();
    if (status.paused === null) return failed('pgbouncer-silent', 'PgBouncer does not answer');
    context.say(`armed: pauses when ${action.operation} is announced in the lease`);
    this.reconcile();
    return succeeded('armed for the hand-over');
  }

  /** The workflow's `resume`: makes sure that clients are let into the current epoch, and says which. */
  async settle(action: Action, context: ActionContext): Promise<ActionOutcome> {
    await this.#deps.keeper.refresh();
    this.reconcile();
    const routes = (): boolean => {
      const lease = this.#deps.keeper.view().watch.lease;
      return this.isRouting() && lease?.state === 'held' && this.#routedEpoch === lease.epoch;
    };
    const deadline = this.#deps.now() + Math.min(action.timeoutMs, 10_000);
    while (!routes() && this.#deps.now() < deadline && !context.signal.aborted) {
      await this.#deps.keeper.until(routes, 50);
    }
    if (!routes()) return failed('not-routing', `routes to ${this.#routedTo ?? 'nobody'}: ${this.#detail}`);
    return succeeded(`routes to ${this.#routedTo}, epoch ${this.#routedEpoch}`, {
      ...(this.#routedEpoch === null ? {} : { epoch: this.#routedEpoch }),
    });
  }

  async #round(): Promise<void> {
    // The hand-over waits for this round: what is known of the nodes has to do, unless the holder is not among them.
    const holder = this.#deps.keeper.view().watch.lease?.holder;
    if (holder !== undefined && !this.#knows(holder)) await this.#readNodes(unknownHolderEveryMs);
    const decision = decideProxy(this.#state());
    this.#detail = decision.reason;
    await this.#act(decision.order, decision.rule);
    // For as long as clients wait nothing but the report of the pause is worth the time of the hosts that they wait for.
    const keeps = decision.order.kind === 'none' || decision.order.kind === 'pause';
    const holds = keeps && this.#paused && this.#pausedFor !== null;
    if (!holds || this.#pauseToldFor !== this.#pausedFor) await this.#report();
    if (holds) return;
    await this.#readNodes(this.#directoryEveryMs());
    await this.#setReplicas();
  }

  #state(): ProxyState {
    const { record, watch } = this.#deps.keeper.view();
    return {
      record,
      lease: watch.lease,
      routedEpoch: this.#routedEpoch,
      paused: this.#paused,
      cut: this.#cut,
      pauseFailedFor: this.#pauseFailedFor,
      pausedForMs: this.#paused ? this.#deps.now() - this.#pausedSinceMs : 0,
      lacksCertificate: this.#deps.lacksCertificate(),
      holderKnown: watch.lease !== null && this.#knows(watch.lease.holder),
    };
  }

  async #act(order: ProxyOrder, rule: string): Promise<void> {
    switch (order.kind) {
      case 'none':
        return;
      case 'pause':
        return this.#pause(order.operation, rule);
      case 'cut':
        return this.#cutOff(rule);
      case 'route':
        return this.#route(order.to, order.epoch, rule);
    }
  }

  async #pause(operation: string, rule: string): Promise<void> {
    const paused = await this.#deps.endpoint.pause({ drainMs, holdMs, onTimeout: 'resume' });
    if (paused.kind === 'paused') {
      this.#paused = true;
      this.#pausedFor = operation;
      this.#pausedSinceMs = this.#deps.now();
      await this.#report();
      this.#deps.emit('proxy_paused', `paused in ${Math.round(paused.tookMs)} ms`, { rule, operation });
      return;
    }
    this.#pauseFailedFor = operation;
    this.#detail =
      paused.kind === 'timed-out' ? `${paused.openTransactions} transactions did not end` : paused.detail;
    this.#deps.emit('proxy_pause_expired', `could not pause: ${this.#detail}`, { rule, operation });
    await this.#report();
  }

  async #cutOff(rule: string): Promise<void> {
    const epoch = this.#deps.keeper.view().watch.lease?.epoch;
    const cut = await this.#deps.endpoint.cut(epoch);
    if (cut.kind !== 'done') {
      this.#deps.log('error', 'cutting connections failed', { rule, error_kind: cut.kind });
      setTimeout(() => this.reconcile(), 50);
      return;
    }
    this.#cut = true;
    this.#routedEpoch = null;
    this.#routedTo = null;
    this.#deps.log('warn', 'connections to the former primary cut', { rule });
  }

  async #route(to: string, epoch: number, rule: string): Promise<void> {
    const node = this.#deps.directory.nodes().find((one) => one.node === to);
    if (node === undefined) return;
    const routed = await this.#deps.endpoint.routeTo({
      nodeId: to,
      host: node.addresses.host,
      port: node.addresses.port,
      restPort: node.addresses.restPort,
      epoch,
    });
    if (routed.kind !== 'done') {
      this.#detail =
        routed.kind === 'stale-epoch'
          ? `has seen epoch ${routed.newest}`
          : `${routed.kind}: ${routed.detail}`;
      this.#deps.log('error', 'routing failed', { rule, error: this.#detail });
      setTimeout(() => this.reconcile(), 100);
      return;
    }
    const resumed = await this.#deps.endpoint.resume();
    if (resumed.kind === 'unreachable') {
      this.#detail = `PgBouncer: ${resumed.detail}`;
      setTimeout(() => this.reconcile(), 100);
      return;
    }
    const pausedMs = this.#paused ? Math.round(this.#deps.now() - this.#pausedSinceMs) : null;
    this.#routedEpoch = epoch;
    this.#routedTo = to;
    this.#cut = false;
    this.#paused = false;
    const operation = this.#pausedFor;
    this.#pausedFor = null;
    this.#deps.emit(
      'proxy_resumed',
      `routes to ${to}${pausedMs === null ? '' : `, was paused ${pausedMs} ms`}`,
      {
        rule,
        epoch,
        operation,
      },
    );
  }

  #directoryEveryMs(): number {
    const { directory, keeper } = this.#deps;
    // A rotation waits here for what the primary's report says.
    const secrets = Object.values(keeper.view().record?.secrets ?? {});
    return directory.everyMs(this.#isUnderWay() || secrets.some(({ next }) => next?.stage === 'offered'));
  }

  #isUnderWay(): boolean {
    return this.#deps.keeper.view().record?.operation != null || !this.isRouting();
  }

  #knows(node: string): boolean {
    return this.#deps.directory.nodes().some((one) => one.node === node && one.addresses.port > 0);
  }

  async #readNodes(everyMs: number): Promise<void> {
    if (this.#deps.now() - this.#nodesReadMs < everyMs) return;
    await this.#deps.directory.read(this.#isUnderWay());
    this.#nodesReadMs = this.#deps.now();
  }

  async #setReplicas(): Promise<void> {
    const lease = this.#deps.keeper.view().watch.lease;
    const standbys = this.#deps.directory
      .nodes()
      .filter((node) => node.role === 'standby' && node.node !== lease?.holder && node.addresses.port > 0);
    const key = standbys
      .map((node) => `${node.node}@${node.addresses.host}:${node.addresses.port}`)
      .join(' ');
    if (key === this.#replicas) return;
    const done = await this.#deps.endpoint.setReplicas(
      standbys.map((node) => ({
        nodeId: node.node,
        host: node.addresses.host,
        port: node.addresses.port,
        restPort: node.addresses.restPort,
      })),
    );
    if (done.kind === 'done') this.#replicas = key;
  }

  async #report(): Promise<void> {
    const { config, release } = this.#deps;
    const secrets = this.#deps.secretUse();
    const says = {
      proxy: config.node,
      incarnation: this.#deps.incarnation,
      instanceId: config.instanceId,
      epoch: this.#routedEpoch,
      routesTo: this.#routedTo,
      paused: this.#paused,
      pausedFor: this.#pausedFor,
      pauseFailedFor: this.#pauseFailedFor,
      detail: this.#detail,
      ...(secrets === undefined ? {} : { secrets }),
      addresses: {
        host: config.host,
        endpointPort: config.ports.endpoint,
        pgbouncerPort: config.ports.pgbouncer,
        primaryPort: config.ports.primary,
        replicasPort: config.ports.replicas,
        restPort: this.#deps.restPort(),
        wakePort: this.#deps.wakeUp.port,
      },
      ...(release === null ? {} : { agent: release }),
    };
    const text = JSON.stringify(says);
    const nowMs = this.#deps.now();
    const changed = text !== this.#lastReport;
    if (changed) this.#saysSinceMs = nowMs;
    const unchangedForMs = nowMs - this.#saysSinceMs;
    const everyMs = reportEveryMs({ inOperation: false, unchangedForMs, movedBytes: 0 });
    if (!changed && nowMs - this.#reportedMs <= everyMs) return;
    this.#reportSeq += 1;
    const report: ProxyReport = { ...says, seq: this.#reportSeq };
    const put = await this.#deps.store.putProxyReport(report, {
      timeoutMs: says.paused ? pauseReportTimeoutMs : reportTimeoutMs,
    });
    if (put.kind === 'refused') {
      this.#deps.log('error', 'another instance has registered under this name', {
        instance: config.instanceId,
      });
      return;
    }
    if (put.kind !== 'ok') {
      // What the table says now is not known.
      this.#lastReport = '';
      this.#pauseToldFor = null;
      if (says.pausedFor !== null) setTimeout(() => this.reconcile(), reportAgainMs);
      return;
    }
    this.#lastReport = text;
    this.#pauseToldFor = says.pausedFor;
    this.#reportedMs = this.#deps.now();
    // The old primary waits for this before it stops.
    this.#deps.wakeUp.wake('proxy');
  }
}
