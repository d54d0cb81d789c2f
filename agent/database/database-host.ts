/**
 * The agent's loop on a database host: look at PostgreSQL, decide by the table of `core/host/decide.ts`, act, report.
 * Rounds are short and never overlap; long work (a clone, a rewind) and the workflow's actions run beside them, and while
 * they run the table only lets through what stops PostgreSQL. The lease is renewed elsewhere (`lease-keeper.ts`), so that
 * nothing here can delay it.
 */
import { decideFencing, decideHost } from '../../core/host/decide.ts';
import type { HealthFacts } from '../../core/host/health.ts';
import { type HostDecision, needsFailover } from '../../core/host/host-rules.ts';
import type { HostState, RejoinVerdict } from '../../core/host/host-state.ts';
import { epochRecord } from '../../core/model/cluster-record.ts';
import type { Lease } from '../../core/model/lease.ts';
import type { NodeReport } from '../../core/model/node-report.ts';
import { syncStateOf } from '../../core/synchronous/sync-state.ts';
import type { ActionRunner } from '../action-runner.ts';
import { errorText } from '../error-text.ts';
import { activityOf } from './activity.ts';
import { LastPrimary } from './last-primary.ts';
import { OrderPace } from './order-pace.ts';
import { executeOrder, longOrders, type OrderContext } from './orders.ts';
import { tendSlots } from './primary-work.ts';
import { Reporter } from './reporter.ts';
import { type Look, slotName } from './server.ts';
import { servingState } from './serving-state.ts';
import { dropKept, judge, upstreamOf } from './standby-work.ts';

const tendSlotsEveryMs = 5_000;
/** Clients wait for a fraction of it; a hand-over that hangs must not keep this host from looking. */
const roundDuringBatonMs = { armed: 400, clientsWait: 2_000 } as const;
const wellAfterMs = 30_000; // A primary that has run this long since its last restart in place is well again.
/** The loop must come round at least this often for `/liveness`. */
const livenessMs = 10_000;

export class DatabaseHost {
  readonly #context: OrderContext;
  readonly #runner: ActionRunner;
  readonly #reporter: Reporter;
  readonly #lastPrimary = new LastPrimary();
  #order: string | null = null;
  #orderDone: Promise<void> = Promise.resolve();
  #roundDone: Promise<void> = Promise.resolve();
  #working = false;
  #again = false;
  /** What this host is has changed: the next round waits for no hand-over. */
  #roundDue = false;
  #roundMs: number;
  #nodesReadMs = Number.NEGATIVE_INFINITY;
  #slotsTendedMs = Number.NEGATIVE_INFINITY;
  #restartsInPlace = 0;
  #lastRestartMs = Number.NEGATIVE_INFINITY;
  #troubledSinceMs: number | null = null;
  #unattendedSinceMs: number | null = null;
  #joiningSinceMs: number | null = null;
  #handOverAskedMs = Number.NEGATIVE_INFINITY;
  #bootstrapSeen = { key: '', sinceMs: 0 };
  #lastRule = '';
  #streamedLast = false;
  #closed = false;
  /** False until what the former agent left is brought to its end: nothing else is decided or done before. */
  #begun = false;
  #rejoin: RejoinVerdict | null = null;
  readonly #pace = new OrderPace();

  constructor(context: OrderContext, runner: ActionRunner) {
    this.#context = context;
    this.#runner = runner;
    this.#reporter = new Reporter(context);
    this.#roundMs = context.now();
  }

  begin(): void {
    this.#begun = true;
    this.reconcile();
  }

  stop(): void {
    this.#closed = true;
  }

  /** After `stop`: the round and the order that were under way have come to their end. */
  async settled(): Promise<void> {
    await this.#roundDone;
    await this.#orderDone;
  }

  /** PostgreSQL was started in place, whether it came up or not: too many in a row, and the lease is handed over. */
  restartedInPlace(): void {
    this.#lastRestartMs = this.#context.now();
    this.#restartsInPlace += 1;
  }

  /** Something changed, or time passed. Rounds do not overlap; a change during one leads to another right after. */
  reconcile(): void {
    if (this.#closed || !this.#begun) return;
    if (this.#working) {
      this.#again = true;
      return;
    }
    const restMs = this.#roundDue ? 0 : roundDuringBatonMs[this.#clientsWait ? 'clientsWait' : 'armed'];
    if (this.#passesBaton() && this.#context.now() - this.#roundMs < restMs) return;
    this.#working = true;
    this.#roundDone = this.#round()
      .catch((error: unknown) => this.#context.log('error', 'round failed', { error: errorText(error) }))
      .finally(() => {
        this.#working = false;
        if (!this.#again) return;
        this.#again = false;
        this.reconcile();
      });
  }

  /** Others go by what this host says of itself, and that has changed: also in the middle of a hand-over. */
  reconcileNow(): void {
    this.#roundDue = true;
    this.reconcile();
  }

  /**
   * The lease changed, or a stage of the fence began. What stops PostgreSQL is decided on the last look, at once: a round may be
   * waiting for a server that hangs.
   */
  onLease(): void {
    const look = this.#context.server.last();
    if (look !== null && !this.#closed) {
      if (this.#context.keeper.view().holdStage === 'quit') this.#context.server.quit();
      const decision = decideFencing(this.#state(look));
      if (decision !== null && !this.#fencing) {
        this.#fencing = true;
        void executeOrder['kill-postgres'](this.#context, decision)
          .catch((error: unknown) => this.#context.log('error', 'fencing failed', { error: String(error) }))
          .finally(() => {
            this.#fencing = false;
            this.reconcile();
          });
      }
    }
    this.reconcile();
  }

  #fencing = false;

  /** A hand-over is under way here: rounds would compete with it for the event loop, and decide nothing but `busy`. */
  #passesBaton(): boolean {
    const verb = this.#runner.running();
    return verb === 'stop-and-release' || verb === 'acquire-and-promote';
  }

  health(): HealthFacts {
    const { server, config } = this.#context;
    const look = server.last();
    const own = this.#reporter.last();
    return {
      postgres: servingState(look),
      role:
        look?.postgres.kind === 'primary'
          ? 'primary'
          : look?.postgres.kind === 'standby'
            ? 'standby'
            : 'none',
      leaseValid: this.#mayServe(),
      handingOver: this.#handingOver,
      streaming: look?.postgres.kind === 'standby' && look.postgres.streaming,
      lagBytes: own?.lagBytes ?? null,
      ...syncStateOf(this.#context.keeper.view().watch.lease?.sync ?? null, config.node),
      tags: config.tags,
      loopAlive: this.#context.now() - this.#roundMs < livenessMs,
    };
  }

  #handingOver = false;
  #clientsWait = false;

  clientsWait(wait: boolean): void {
    this.#clientsWait = wait;
  }

  setHandingOver(handingOver: boolean): void {
    this.#handingOver = handingOver;
  }

  /** The lease is valid at this instant, and its epoch is open to clients. */
  #mayServe(): boolean {
    const { keeper } = this.#context;
    const { record, watch, holdStage } = keeper.view();
    const epoch = watch.lease?.epoch;
    if (!keeper.isHolder() || holdStage !== 'valid' || record === null || epoch === undefined) return false;
    return epochRecord(record, epoch) !== null;
  }

  /** The data directory is being made, copied or rewound. */
  changesData(): boolean {
    return ['bootstrap', 'adopt-directory', 'clone', 'rewind', 'rebuild'].includes(this.#order ?? '');
  }

  /** A long order that is being carried out; an action waits for its end. */
  isBusy(): boolean {
    return !this.#begun || this.#order !== null;
  }

  report(): NodeReport | null {
    return this.#reporter.last();
  }

  async #round(): Promise<void> {
    const { keeper, server, now, disk } = this.#context;
    this.#roundMs = now();
    this.#roundDue = false;
    await this.#readNodes();
    const look = await server.look(this.#isCalm());
    this.#lastPrimary.saw(look);
    if (server.isClosed()) keeper.notWritable();
    const lease = keeper.view().watch.lease;
    if (lease !== null) disk.sawEpoch(Math.max(lease.epoch, disk.facts().highestEpoch));
    this.#suspect(look);
    this.#track(look);
    this.#rejoin = await this.#judge(look);
    if (this.#closed) return;
    // Everything that a decision rests on is read at one instant, after the last wait.
    const decision = decideHost(this.#state(look));
    await this.#act(decision);
    this.#runner.poke();
    await this.#reporter.report(look, activityOf(this.#order, decision), decision.reason);
    await this.#tend(look);
  }

  /** Nothing is under way, here or in the cluster, and the data are of the epoch that is held. */
  #isCalm(): boolean {
    const { keeper, disk } = this.#context;
    const { record, watch } = keeper.view();
    const idle = this.#order === null && this.#runner.running() === null && record?.operation === null;
    return idle && watch.lease?.state === 'held' && disk.facts().dataEpoch === watch.lease.epoch;
  }

  #state(look: Look): HostState {
    const { keeper, disk, config, writer, now, server } = this.#context;
    const { headRead, record, watch, holdStage, heldBack } = keeper.view();
    disk.reload();
    const holder = watch.lease?.holder ?? '';
    const primary = this.#context.nodes().find((node) => node.node === holder);
    const since = (startMs: number | null): number => (startMs === null ? 0 : now() - startMs);
    return {
      node: config.node,
      incarnation: writer.incarnation,
      headRead,
      record,
      watch,
      holdStage,
      heldBack: heldBack !== null,
      postgres: look.postgres,
      mayHaveOpened: server.mayHaveOpened(),
      disk: {
        dataDirectory: look.dataDirectory,
        systemIdentifier: look.control?.systemIdentifier ?? null,
        standbySignal: look.standbySignal,
        ...disk.facts(),
      },
      busy: this.#order ?? this.#runner.running(),
      rejoin: this.#rejoin,
      health: this.#context.health(),
      recovery: this.#lastPrimary.view(this.#context.nodes()),
      handOverAskedForMs: now() - this.#handOverAskedMs,
      restartsInPlace: this.#restartsInPlace,
      troubledForMs: since(this.#troubledSinceMs),
      silentMs: now() - watch.sinceMs,
      bootstrapSilentMs: now() - this.#bootstrapSeen.sinceMs,
      joiningForMs: since(this.#joiningSinceMs),
      slotReady: primary?.slots.includes(slotName(config.node)) ?? false,
      registered: this.#registered(),
      lacksCertificate: this.#context.certificates.isMissing(),
      upstreamKnown: upstreamOf(this.#context, holder) !== null,
      loginChanged: server.following() !== null && server.followsAs() !== config.secrets.replication.name,
      unattendedMs: since(this.#unattendedSinceMs),
    };
  }

  /** Whether this node's stored report is of this EC2 instance: two hosts with one node id must never both open PostgreSQL. */
  #registered(): HostState['registered'] {
    const { config, directoryRead } = this.#context;
    if (!directoryRead()) return 'unknown';
    const own = this.#context.nodes().find((node) => node.node === config.node);
    return own === undefined || own.instanceId === config.instanceId ? 'here' : 'elsewhere';
  }

  async #judge(look: Look): Promise<RejoinVerdict | null> {
    const { keeper, disk } = this.#context;
    const lease = keeper.view().watch.lease;
    if (this.#order !== null || this.#runner.running() !== null || lease === null) return null;
    const settled = look.postgres.kind === 'standby' && disk.facts().dataEpoch === lease.epoch;
    if (settled || look.dataDirectory !== 'present') return null;
    if (look.postgres.kind !== 'standby' && look.postgres.kind !== 'stopped') return null;
    if (this.#crossedOver(look, lease)) return null;
    const verdict = await judge(this.#context, look);
    if (verdict === null) return null;
    // Its receiver is just starting or ending: the next round knows.
    return verdict.kind === 'need-wal-end' ? 'wait' : verdict.kind;
  }

  /**
   * A standby that followed the target before it was promoted gets the new timeline through it: PostgreSQL switches to it only
   * where its own log is on that path. From then on its data is of the new epoch, and there is nothing to judge.
   */
  #crossedOver(look: Look, lease: Lease): boolean {
    const { keeper, server, disk } = this.#context;
    const { record } = keeper.view();
    const following = server.following();
    const before = lease.epoch - 1;
    if (lease.state !== 'held' || record === null || look.postgres.kind !== 'standby') return false;
    if (following?.node !== lease.holder || following.epoch !== before) return false;
    if (disk.facts().dataEpoch !== before) return false;
    if (look.observation?.timeline !== epochRecord(record, lease.epoch)?.timeline) return false;
    disk.dataBelongsTo(lease.epoch);
    server.nowFollows({ ...following, epoch: lease.epoch });
    this.#context.emit('standby_following', `came over to the new timeline with ${lease.holder}`, {
      epoch: lease.epoch,
    });
    return true;
  }

  async #act(decision: HostDecision): Promise<void> {
    if (decision.rule !== this.#lastRule) {
      this.#lastRule = decision.rule;
      const { kind } = decision.order;
      this.#context.log('info', 'decided', { rule: decision.rule, order: kind, reason: decision.reason });
    } else if (['refuse', 'alert', 'let-lapse'].includes(decision.order.kind)) return;
    // Asked again only after the same patience: Step Functions may be away.
    if (decision.order.kind === 'request-failover') this.#unattendedSinceMs = this.#context.now();
    if (decision.order.kind === 'ask-hand-over') this.#handOverAskedMs = this.#context.now();
    if (this.#pace.isTooSoon(decision.order, this.#context.now())) return;
    const execute = executeOrder[decision.order.kind];
    if (!longOrders.has(decision.order.kind)) {
      await execute(this.#context, decision);
      return;
    }
    this.#order = decision.order.kind;
    this.#orderDone = execute(this.#context, decision)
      .catch((error: unknown) =>
        this.#context.log('error', 'order failed', { order: decision.order.kind, reason: errorText(error) }),
      )
      .finally(() => {
        this.#order = null;
        this.#pace.ended(decision.order, this.#context.now());
        this.#lastRule = '';
        this.reconcile();
      });
  }

  /** The stream from the primary broke: its host may be gone. Reads become frequent; nothing else follows from it. */
  #suspect(look: Look): void {
    const { keeper, clients } = this.#context;
    const { record, watch } = keeper.view();
    const streams = look.postgres.kind === 'standby' && look.postgres.streaming;
    const broke = this.#streamedLast && !streams && watch.lease?.state === 'held' && !keeper.isHolder();
    if (broke) clients.warm();
    if (streams) this.#streamedLast = true;
    if (watch.lease?.state !== 'held') clients.warm();
    keeper.setSuspicious((broke || record?.operation != null) && this.#streamedLast);
  }

  #track(look: Look): void {
    const { keeper, now, config } = this.#context;
    const { record, watch } = keeper.view();
    const running = look.postgres.kind === 'primary' || look.postgres.kind === 'standby';
    if (running) this.#troubledSinceMs = null;
    else this.#troubledSinceMs ??= now();
    if (running && now() - this.#lastRestartMs > wellAfterMs) this.#restartsInPlace = 0;
    const free = watch.lease !== null && record !== null && needsFailover(record, watch.lease);
    if (free) this.#unattendedSinceMs ??= now();
    else this.#unattendedSinceMs = null;
    const joined = look.dataDirectory === 'present' && (record?.members.includes(config.node) ?? false);
    if (joined) this.#joiningSinceMs = null;
    else this.#joiningSinceMs ??= now();
    const key = `${record?.bootstrap?.nonce ?? ''} ${record?.bootstrap?.seq ?? 0}`;
    if (key !== this.#bootstrapSeen.key) this.#bootstrapSeen = { key, sinceMs: now() };
  }

  async #readNodes(): Promise<void> {
    const { now, keeper, config } = this.#context;
    const age = now() - this.#nodesReadMs;
    const holder = keeper.view().watch.lease?.holder;
    const nodes = this.#context.nodes();
    const unknown =
      holder !== undefined && holder !== config.node && !nodes.some((node) => node.node === holder);
    const joining = this.#joiningSinceMs !== null;
    if (age < (unknown || joining ? 250 : this.#context.nodesEveryMs())) return;
    this.#nodesReadMs = now();
    await this.#context.readNodes();
  }

  async #tend(look: Look): Promise<void> {
    const { now } = this.#context;
    const running = look.postgres.kind === 'primary' || look.postgres.kind === 'standby';
    if (!running || now() - this.#slotsTendedMs < tendSlotsEveryMs) return;
    this.#slotsTendedMs = now();
    if (look.postgres.kind === 'standby') await tendSlots(this.#context);
    if (look.postgres.kind === 'standby' && look.postgres.streaming) await dropKept(this.#context);
  }
}
