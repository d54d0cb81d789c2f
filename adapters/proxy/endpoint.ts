/**
 * The endpoint that clients use, on one proxy host: HAProxy -> PgBouncer -> HAProxy -> the primary, steered as one thing. Upholds that
 * it never routes to a node of an older epoch than it has been told of, and that a pause ends by itself.
 *
 * Its states, of two independent facts:
 *   route   null (connections wait) -> routeTo -> a node's epoch -> cut or a newer routeTo -> ...
 *   clients open -> pause -> paused -> resume, the pause's expiry or a failed pause -> open
 * A planned change: pause, (old primary stops, new one promotes), routeTo, resume: no client sees an error.
 * An unplanned one: the canary falls silent, clients are held; cut, routeTo: who was in a transaction sees one error, the others wait.
 * A primary that is started in place: the canary falls silent and sings again; the same for clients, and no order is needed.
 */
import { mkdir } from 'node:fs/promises';
import type { TlsFiles } from '../tls/tls-folder.ts';
import { Canary } from './canary.ts';
import { canaryAccess, type EndpointOptions, haproxyOptions, pgbouncerOptions } from './endpoint-options.ts';
import type { HaproxyResult, HaproxyState } from './haproxy.ts';
import { Haproxy } from './haproxy.ts';
import type { NodeAddress } from './haproxy-config.ts';
import { ownFolder } from './kept-process.ts';
import type { PauseResult, ResumeResult } from './pgbouncer.ts';
import { Pgbouncer } from './pgbouncer.ts';
import type { PoolCounts } from './pgbouncer-console.ts';
import type { ProgramFailure } from './program-failure.ts';
import { type Route, RouteFile } from './route-file.ts';

export type RouteResult =
  | HaproxyResult
  /** The endpoint has been told of a newer epoch; nothing was changed. */
  | { readonly kind: 'stale-epoch'; readonly newest: number };

export interface PauseOrder {
  /** How long the open transactions may take to end. */
  readonly drainMs: number;
  /** After this, counted from the pause's begin, the endpoint opens by itself. */
  readonly holdMs: number;
  /** Transactions still open after `drainMs`: `resume` gives up the pause; `cancel` ends them, with an error each. */
  readonly onTimeout: 'resume' | 'cancel';
}

export interface EndpointStatus {
  /** Null when HAProxy does not answer. */
  readonly haproxy: HaproxyState | null;
  /** Held by `pause`. Null when PgBouncer does not answer. */
  readonly paused: boolean | null;
  readonly pools: PoolCounts | null;
  /** The epoch of the node that is let in; null when none is, or when that cannot be told. */
  readonly epoch: number | null;
  readonly routesTo: string | null;
}

/** Both programs run; which of them had to be started again. */
export interface Running {
  readonly kind: 'running';
  readonly restarted: readonly ('haproxy' | 'pgbouncer')[];
}

/** After cancelled transactions, the pause has this long to come about. */
const cancelledDrainMs = 250;
/** Clients are held from the first moment; how long to wait for what is still open, before others get their turn. */
const holdDrainMs = 30;

export class ProxyEndpoint {
  #options: EndpointOptions;
  #haproxy: Haproxy;
  #pgbouncer: Pgbouncer;
  readonly #file: RouteFile;
  #replicas: readonly NodeAddress[] = [];
  #nodes: readonly NodeAddress[];
  /** `pause` succeeded, and nothing has ended it since. */
  #paused = false;
  /** Clients are held because there is no primary: since a `cut`, or since the canary fell silent. */
  #held = false;
  #canary: Canary | null;
  #expiry: NodeJS.Timeout | undefined;
  /** Commands run one after the other: a cut that overtakes a routeTo must not be undone by it. */
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(options: EndpointOptions, haproxy: Haproxy, pgbouncer: Pgbouncer, file: RouteFile) {
    this.#options = options;
    this.#haproxy = haproxy;
    this.#pgbouncer = pgbouncer;
    this.#file = file;
    this.#nodes = options.nodes;
    this.#canary = this.#newCanary();
  }

  #newCanary(): Canary | null {
    const access = canaryAccess(this.#options);
    if (access === null) return null;
    return new Canary(() => canaryAccess(this.#options) ?? access, {
      resting: () => this.#paused,
      lost: () => void this.#inTurn(() => this.#hold()),
      singing: () => void this.#inTurn(() => this.#letGo()),
    });
  }

  /**
   * Starts both programs, or adopts those that outlived the agent, with route and pause as they are: look at `status` and bring
   * them in line with the lease.
   */
  static async open(
    options: EndpointOptions,
  ): Promise<{ kind: 'open'; endpoint: ProxyEndpoint } | ProgramFailure> {
    await mkdir(options.folder, { recursive: true });
    await mkdir(options.logFolder, { recursive: true });
    await ownFolder(options.folder, options.runAs);
    const pgbouncer = await Pgbouncer.open(pgbouncerOptions(options));
    if (pgbouncer.kind !== 'open') return pgbouncer;
    const haproxy = await Haproxy.open(haproxyOptions(options, options.nodes));
    if (haproxy.kind !== 'open') {
      await pgbouncer.pgbouncer.stop();
      return haproxy;
    }
    const file = await RouteFile.open(options.folder, (detail) => options.onNotSaved?.(detail));
    const endpoint = new ProxyEndpoint(options, haproxy.haproxy, pgbouncer.pgbouncer, file);
    return { kind: 'open', endpoint };
  }

  /**
   * Holds the clients: each open transaction ends, new ones wait. The pause ends by itself after `holdMs`; then the endpoint routes
   * nowhere until told, so that clients wait in HAProxy rather than reach a node that may have become a standby.
   */
  pause(order: PauseOrder): Promise<PauseResult> {
    return this.#inTurn(async () => {
      this.#held = false;
      clearTimeout(this.#expiry);
      this.#expiry = setTimeout(() => void this.#expire(), order.holdMs);
      let result = await this.#pgbouncer.pause(
        order.drainMs,
        order.onTimeout === 'cancel' ? 'stay' : 'resume',
      );
      if (result.kind === 'timed-out' && order.onTimeout === 'cancel') {
        await this.#haproxy.endUpstreamConnections();
        result = await this.#pgbouncer.pause(cancelledDrainMs, 'resume');
      }
      this.#paused = result.kind === 'paused';
      if (!this.#paused) clearTimeout(this.#expiry);
      else void this.#inTurn(() => this.#haproxy.prepare());
      return result;
    });
  }

  /**
   * Lets clients through, to whatever the route is. Only after the primary was seen to take writes. Resolves when the write of
   * the route to disk has ended too, for which clients do not wait.
   */
  resume(): Promise<ResumeResult> {
    return this.#inTurn(async () => {
      clearTimeout(this.#expiry);
      this.#held = false;
      this.#paused = false;
      const resumed = await this.#pgbouncer.resume();
      await this.#file.save();
      return resumed;
    });
  }

  /** Routes to this node and ends what is connected to any other. Refused for an epoch older than the newest it was told of. */
  routeTo(route: Route): Promise<RouteResult> {
    return this.#inTurn(async () => {
      const { newestEpoch } = this.#file.remembered();
      if (route.epoch < newestEpoch) return { kind: 'stale-epoch', newest: newestEpoch };
      const result = await this.#haproxy.routeTo(route);
      if (result.kind === 'done') {
        this.#file.remember({ newestEpoch: route.epoch, route });
        await this.#letGo();
        // A paused endpoint is resumed next, which waits for the file.
        if (!this.#paused) await this.#file.save();
      }
      return result;
    });
  }

  /**
   * The primary is dead or deposed: routes nowhere and ends what is connected to it, at once. Clients in a transaction get an error, all
   * others wait. `newestEpoch`, if known, bars every older one from now on.
   */
  cut(newestEpoch?: number): Promise<RouteResult> {
    return this.#inTurn(async () => {
      // PAUSE comes first, and is complete when the connections have ended: it must not be waited for in between.
      const held = this.#hold();
      const result = await this.#haproxy.routeTo(null);
      await held;
      const newest = Math.max(this.#file.remembered().newestEpoch, newestEpoch ?? 0);
      this.#file.remember({ newestEpoch: newest, route: null });
      await this.#file.save();
      return result;
    });
  }

  /** Readers get these standbys. */
  setReplicas(nodes: readonly NodeAddress[]): Promise<HaproxyResult> {
    return this.#inTurn(() => {
      this.#replicas = nodes;
      return this.#haproxy.setReplicas(nodes);
    });
  }

  /** The cluster's database nodes, after one came, left or moved. */
  setNodes(nodes: readonly NodeAddress[]): Promise<HaproxyResult> {
    return this.#inTurn(() => {
      this.#nodes = nodes;
      return this.#haproxy.setNodes(nodes);
    });
  }

  /** Who may log in from now on, and as whom the canary does; connections that are open stay. False: PgBouncer does not answer. */
  setLogins(logins: Pick<EndpointOptions, 'users' | 'canary'>): Promise<boolean> {
    return this.#inTurn(() => {
      this.#options = { ...this.#options, ...logins };
      return this.#pgbouncer.setUsers(this.#options.users);
    });
  }

  async status(): Promise<EndpointStatus> {
    const [haproxy, paused, pools] = await Promise.all([
      this.#haproxy.state(),
      this.#pgbouncer.isPaused(),
      this.#pgbouncer.pools(),
    ]);
    const state = haproxy.kind === 'state' ? haproxy : null;
    const { route } = this.#file.remembered();
    return {
      haproxy: state,
      paused: paused === null ? null : paused && !this.#held,
      pools: pools.kind === 'pools' ? pools.counts : null,
      epoch: route !== null && route.nodeId === state?.primary ? route.epoch : null,
      routesTo: state?.primary ?? null,
    };
  }

  /** Process ids, for the one who measures. */
  pids(): { readonly haproxy: number; readonly pgbouncer: number } {
    return { haproxy: this.#haproxy.pid, pgbouncer: this.#pgbouncer.pid };
  }

  /**
   * With TLS from now on, at a proxy's first certificate. Both programs are started anew, which ends every connection: nobody who may come
   * has got anywhere before.
   */
  secure(tls: TlsFiles): Promise<Running | ProgramFailure> {
    return this.#inTurn(async () => {
      this.#options = { ...this.#options, tls };
      this.#canary?.stop();
      await Promise.all([this.#haproxy.stop(), this.#pgbouncer.stop()]);
      const running = await this.#restart();
      this.#canary = this.#newCanary();
      return running;
    });
  }

  /** Has the files of TLS read anew. Connections that stand go on. */
  rereadCertificate(): Promise<boolean> {
    return this.#inTurn(() => this.#pgbouncer.reload());
  }

  /**
   * Starts again whichever of the two has ended, with the last route and standbys, and writes the route where that failed. Cheap when there
   * is nothing to do: call it in each loop.
   */
  ensureRunning(): Promise<Running | ProgramFailure> {
    return this.#inTurn(() => {
      // What could not be written is tried again.
      if (!this.#paused) void this.#file.save();
      return this.#restart();
    });
  }

  async #restart(): Promise<Running | ProgramFailure> {
    const restarted: ('haproxy' | 'pgbouncer')[] = [];
    if (!this.#pgbouncer.isRunning()) {
      this.#pgbouncer.detach();
      const opened = await Pgbouncer.open(pgbouncerOptions(this.#options));
      if (opened.kind !== 'open') return opened;
      this.#pgbouncer = opened.pgbouncer;
      // A pause outlives the PgBouncer that it was given to.
      if (this.#paused || this.#held) await this.#pgbouncer.hold(cancelledDrainMs);
      restarted.push('pgbouncer');
    }
    if (!this.#haproxy.isRunning()) {
      this.#haproxy.detach();
      const opened = await Haproxy.open(haproxyOptions(this.#options, this.#nodes));
      if (opened.kind !== 'open') return opened;
      this.#haproxy = opened.haproxy;
      await this.#haproxy.routeTo(this.#file.remembered().route);
      await this.#haproxy.setReplicas(this.#replicas);
      restarted.push('haproxy');
    }
    return { kind: 'running', restarted };
  }

  /** The agent goes, the endpoint stays: both programs go on as they are. */
  detach(): void {
    clearTimeout(this.#expiry);
    this.#canary?.stop();
    this.#haproxy.detach();
    this.#pgbouncer.detach();
  }

  /** Ends both programs. */
  async stop(): Promise<void> {
    clearTimeout(this.#expiry);
    this.#canary?.stop();
    await Promise.all([this.#haproxy.stop(), this.#pgbouncer.stop()]);
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(action);
    this.#queue = turn.catch(() => {});
    return turn;
  }

  /**
   * Holds the clients until a primary answers or the next route, unless a pause does so already. Said before a connection is
   * ended, it keeps PgBouncer from trying to log in, and from turning clients away after a login that failed.
   */
  async #hold(): Promise<void> {
    if (this.#paused || this.#held) return;
    this.#held = true;
    await this.#pgbouncer.hold(holdDrainMs);
  }

  async #letGo(): Promise<void> {
    if (!this.#held) return;
    this.#held = false;
    await this.#pgbouncer.resume();
  }

  async #expire(): Promise<void> {
    await this.cut();
    await this.resume();
    this.#options.onPauseExpired?.();
  }
}
