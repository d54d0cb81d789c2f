/**
 * A small world in which the production lease code runs under the worst network and clocks: every request may land late,
 * twice or never, every answer may be late or lost, each host's clock has its own offset and rate (within 1 %) and the
 * granularity of /proc/uptime, agents restart while PostgreSQL runs on, hosts stop. The world checks itself after every
 * event; a broken invariant throws.
 *
 * What a host does beyond core/lease is kept as permissive as the design allows: it gives up its hold only when a renewal is
 * refused, when it stops PostgreSQL to release, or when it is fenced by proof.
 */
import { holdStage, maySeal, renewed, startWatch, watched } from '../../core/lease/lease-clock.ts';
import * as writes from '../../core/lease/lease-write.ts';
import { heldBack, isHeldBackFrom, sawLease, sendsWrite, startPromises } from '../../core/lease/promises.ts';
import { asynchronous, type Lease } from '../../core/model/lease.ts';
import { lsnOf } from '../../core/model/lsn.ts';
import { FailsafeLine } from './failsafe-line.ts';
import { type Host, type HostClock, InvariantBroken, type Transit } from './world-host.ts';

interface Request {
  readonly ordinal: number;
  readonly host: string;
  readonly incarnation: string;
  readonly sentAtMs: number;
  /** Null: a read. */
  readonly write: writes.LeaseWrite | null;
  /** The lease on which the write was decided. */
  readonly decidedOn: Lease | null;
  readonly armedFor: string | null;
}

interface Response {
  readonly request: Request;
  readonly lease: Lease | null;
  readonly refused: boolean;
}

const granularityMs = 10;
const mostUnderWay = 30;

export class LeaseWorld {
  readonly hosts: readonly Host[];
  readonly ttlMs: number;
  /** How often each kind of write has landed: a run in which nothing happened proves nothing. */
  readonly landed = new Map<string, number>();
  requests: Request[] = [];
  responses: Response[] = [];
  lease: Lease | null = null;
  readonly failsafe = new FailsafeLine(this);
  readonly #holders = new Map<number, string>();
  #trueMs = 0;
  #ordinal = 0;
  #incarnations = 0;

  constructor(clocks: readonly HostClock[], ttlMs: number) {
    this.ttlMs = ttlMs;
    this.hosts = clocks.map((clock, index) => ({
      ...clock,
      id: `node${index + 1}`,
      incarnation: `i0-${index}`,
      alive: true,
      hold: null,
      barredEpoch: 0,
      stoppedAt: 0,
      watch: startWatch(0),
      watchedAt: 0,
      known: null,
      promises: startPromises(0),
      offered: [],
      refused: false,
    }));
    for (const host of this.hosts) {
      host.watch = startWatch(this.clock(host));
      // Their agents have run for long; what one that has just started must not do is tried by `restart`.
      host.promises = startPromises(this.clock(host) - 10 * ttlMs);
    }
  }

  clock(host: Host): number {
    return Math.floor((host.offsetMs + host.rate * this.#trueMs) / granularityMs) * granularityMs;
  }

  advance(ms: number): void {
    this.#trueMs += ms;
  }

  isWritable(host: Host): boolean {
    const stage = holdStage(host.hold, this.clock(host));
    return stage !== 'none' && stage !== 'expired';
  }

  nextOrdinal(): number {
    this.#ordinal += 1;
    return this.#ordinal;
  }

  read(host: Host, transit: Transit): void {
    this.#send(host, null, null, transit);
  }

  create(host: Host, transit: Transit): void {
    const first = { ttlMs: this.ttlMs, timeline: 1, members: this.hosts.map(({ id }) => id) };
    this.#send(host, writes.createLease(writer(host), first), null, transit);
  }

  renew(host: Host, lease: Lease, transit: Transit): void {
    this.#send(host, writes.renew(lease, writer(host)), lease, transit);
  }

  /** The holder says something in its renewal, here which members there are. */
  change(host: Host, lease: Lease, transit: Transit): void {
    const members = this.hosts
      .map(({ id }) => id)
      .filter((id) => id === lease.holder || this.#ordinal % 2 === 0);
    host.offered = [...host.offered, { ordinal: this.#ordinal + 1, members }];
    this.#send(host, writes.renew(lease, writer(host), { members }), lease, transit);
  }

  adopt(host: Host, lease: Lease, transit: Transit): void {
    this.#send(host, writes.adopt(lease, writer(host)), lease, transit);
  }

  announce(host: Host, lease: Lease, successor: string, transit: Transit): void {
    this.#send(host, writes.announce(lease, writer(host), `op${this.#ordinal}`, successor), lease, transit);
  }

  withdraw(host: Host, lease: Lease, transit: Transit): void {
    this.#send(host, writes.withdraw(lease, writer(host)), lease, transit);
  }

  /** PostgreSQL is stopped first; whatever was sent before does not start it again. */
  release(host: Host, lease: Lease, successor: string | null, transit: Transit): void {
    host.hold = null;
    host.stoppedAt = this.#ordinal + 1;
    const stopped = {
      operation: `op${this.#ordinal}`,
      successor,
      releasedAtLsn: lsnOf(BigInt(this.#ordinal + 1)),
    };
    this.#send(host, writes.release(lease, writer(host), stopped), lease, transit);
  }

  mayBeSealedBy(host: Host): boolean {
    return host.alive && maySeal(host.watch, host.id, this.clock(host)) && !this.#isHeldBack(host);
  }

  #isHeldBack(host: Host): boolean {
    return heldBack(host.promises, this.ttlMs, this.clock(host)) !== null;
  }

  seal(host: Host, transit: Transit): void {
    const { lease } = host.watch;
    if (lease !== null) this.#send(host, writes.seal(lease), lease, transit);
  }

  nameSuccessor(host: Host, lease: Lease, successor: string, transit: Transit): void {
    this.#send(host, writes.nameSuccessor(lease, `op${this.#ordinal}`, successor), lease, transit);
  }

  /** `operation`: the one that the host was armed for, which need not be the one that the lease names now. */
  acquire(host: Host, lease: Lease, operation: string, transit: Transit): void {
    const next = { ttlMs: this.ttlMs, members: lease.members, sync: asynchronous };
    this.#send(host, writes.acquire(lease, writer(host), operation, next), lease, transit, operation);
  }

  /** Proof by barring the host, or (`stop`) by an observed stop of its instance, which bars nothing. */
  fence(decider: Host, lease: Lease, stop: boolean, transit: Transit): void {
    const holder = this.hosts.find(({ id }) => id === lease.holder);
    if (holder === undefined) throw new InvariantBroken(`unknown holder ${lease.holder}`);
    if (!stop && holder.alive) holder.barredEpoch = Math.max(holder.barredEpoch, lease.epoch);
    if (!stop && !holder.alive) return;
    if (stop) holder.alive = false;
    // A bar of this epoch leaves a PostgreSQL of a later one alone; a stop does not.
    if (stop || (holder.hold !== null && holder.hold.epoch <= lease.epoch)) holder.hold = null;
    this.#send(decider, writes.fence(lease), lease, transit);
  }

  /** The agent is new; PostgreSQL runs on under the guard. What the old agent sent may still land. */
  restart(host: Host): void {
    this.#incarnations += 1;
    host.incarnation = `i${this.#incarnations}`;
    host.alive = true;
    host.known = null;
    host.watch = startWatch(this.clock(host));
    host.watchedAt = this.#ordinal;
    host.promises = startPromises(this.clock(host));
    host.offered = [];
    host.refused = false;
  }

  /** Lets the request at `index` land; it stays under way when it is to land twice. */
  land(index: number, again: boolean): void {
    const request = this.requests[index % this.requests.length];
    if (request === undefined) return;
    if (!again) this.requests = this.requests.filter((one) => one !== request);
    this.responses.push(this.#process(request));
    if (this.responses.length > mostUnderWay) this.responses.shift();
  }

  deliver(index: number): void {
    const response = this.responses[index % this.responses.length];
    if (response === undefined) return;
    this.responses = this.responses.filter((one) => one !== response);
    this.#receive(response);
  }

  #send(
    host: Host,
    write: writes.LeaseWrite | null,
    decidedOn: Lease | null,
    transit: Transit,
    armedFor: string | null = null,
  ): void {
    if (write !== null) {
      if (isHeldBackFrom(write, host.watch.lease) && this.#isHeldBack(host)) return;
      host.promises = sendsWrite(host.promises, write);
    }
    this.#ordinal += 1;
    const { id, incarnation } = host;
    const sentAtMs = this.clock(host);
    const request: Request = {
      ordinal: this.#ordinal,
      host: id,
      incarnation,
      sentAtMs,
      write,
      decidedOn,
      armedFor,
    };
    if (transit === 'request-late') {
      this.requests.push(request);
      if (this.requests.length > mostUnderWay) this.requests.shift();
      return;
    }
    const response = this.#process(request);
    if (transit === 'answer-late') this.responses.push(response);
    if (transit === 'twice') this.requests.push(request);
    if (transit === 'instant' || transit === 'twice') this.#receive(response);
  }

  #process(request: Request): Response {
    if (request.write === null) return { request, lease: this.lease, refused: false };
    const before = this.lease;
    const after = writes.applyLeaseWrite(before, request.write);
    if (after === null) return { request, lease: null, refused: true };
    this.lease = after;
    this.landed.set(request.write.kind, (this.landed.get(request.write.kind) ?? 0) + 1);
    this.#checkLanding(request, request.write, before, after);
    return { request, lease: after, refused: false };
  }

  #receive({ request, lease, refused }: Response): void {
    const host = this.#host(request.host);
    if (!host.alive || host.incarnation !== request.incarnation) return;
    const nowMs = this.clock(host);
    if (refused) {
      // Gone, whatever else: at once.
      const plain = request.write?.kind === 'renew' && request.write.set.members === undefined;
      if (request.write?.kind === 'renew') host.refused = true;
      if (plain && host.hold?.epoch === request.decidedOn?.epoch) host.hold = null;
      return;
    }
    const watch = watched(host.watch, lease, nowMs, request.ordinal > host.watchedAt);
    if (watch !== host.watch) host.watchedAt = this.#ordinal;
    host.watch = watch;
    host.promises = sawLease(host.promises, watch.lease);
    if (lease !== null && (host.known === null || isNewer(lease, host.known))) host.known = lease;
    if (this.#grants(host, request, lease) && lease !== null) {
      host.hold = renewed(host.hold, lease.epoch, request.sentAtMs, lease.ttlMs);
      host.refused = false;
      host.offered = host.offered.filter(({ ordinal }) => ordinal > request.ordinal);
    }
    this.checkWritable();
  }

  /** Whether this acknowledgement lets PostgreSQL accept writes. */
  #grants(host: Host, request: Request, lease: Lease | null): boolean {
    return (
      request.write !== null &&
      ['create', 'adopt', 'renew', 'announce', 'withdraw', 'acquire'].includes(request.write.kind) &&
      lease !== null &&
      lease.epoch > host.barredEpoch &&
      request.ordinal > host.stoppedAt
    );
  }

  #host(id: string): Host {
    const host = this.hosts.find((one) => one.id === id);
    if (host === undefined) throw new Error(`no host ${id}`);
    return host;
  }

  checkWritable(): void {
    const writable = this.hosts.filter((host) => this.isWritable(host));
    require(writable.length <=
      1, `writable at once: ${writable.map(({ id, hold }) => `${id}@${hold?.epoch}`).join(' ')}`);
  }

  /** What must hold of every write that lands, said without the words of core/lease. */
  #checkLanding(request: Request, write: writes.LeaseWrite, before: Lease | null, after: Lease): void {
    require(after.seq === (before?.seq ?? 0) + 1, 'seq rises by one');
    require(after.epoch ===
      (before?.epoch ?? 0) +
        (['create', 'acquire'].includes(write.kind) ? 1 : 0), 'only a new hand raises the epoch, by one');
    const holder = this.#holders.get(after.epoch) ?? after.holder;
    this.#holders.set(after.epoch, holder);
    require(holder === after.holder, `epoch ${after.epoch} had holder ${holder} and now ${after.holder}`);
    if (before === null) return;
    this.#checkOrder(request, write, before);
    if (before.state === 'released') {
      const keeps = after.state === 'released' && after.releasedAtLsn === before.releasedAtLsn;
      require(keeps ||
        after.epoch === before.epoch + 1, 'a released lease keeps its LSN until it is acquired');
    }
    if (write.kind === 'seal') this.#checkDeadline(before);
    if (write.kind === 'acquire') {
      require(before.successor === request.host, 'only the named successor acquires');
      require(before.operation === request.armedFor, 'only the operation that was named acquires');
      for (const host of this.hosts)
        require(host.id === after.holder ||
          !this.isWritable(host), `${host.id} is writable while another acquires`);
    }
  }

  #checkOrder(request: Request, write: writes.LeaseWrite, before: Lease): void {
    const { decidedOn } = request;
    if (write.kind === 'renew') {
      const own = before.holder === request.host && before.incarnation === request.incarnation;
      require(own &&
        before.epoch === decidedOn?.epoch &&
        before.state === 'held', 'a renewal is for its own tenure');
      if (write.set.members === undefined) return;
    }
    // Sealed, the holder can do nothing any more: a successor that was named meanwhile makes the proof no worse.
    const sealed = write.kind === 'fence' && decidedOn?.state === 'sealed' && before.state === 'sealed';
    const same = before.epoch === decidedOn?.epoch && (sealed || before.seq === decidedOn.seq);
    require(same, `a ${write.kind} decided on ${name(decidedOn)} landed on ${name(before)}`);
  }

  /** Nor may an acknowledgement that is still under way make the holder writable after the seal. */
  #checkDeadline(sealed: Lease): void {
    const holder = this.#host(sealed.holder);
    const nowMs = this.clock(holder);
    const underWay = this.responses
      .filter(
        ({ request, refused }) =>
          !refused && request.host === holder.id && request.incarnation === holder.incarnation,
      )
      .filter(({ request, lease }) => this.#grants(holder, request, lease) && lease?.epoch === sealed.epoch)
      .map(({ request, lease }) => renewed(null, sealed.epoch, request.sentAtMs, lease?.ttlMs ?? 0));
    for (const hold of [holder.hold, ...underWay]) {
      const stage = holdStage(hold, nowMs);
      require(stage === 'none' || stage === 'expired', `sealed while ${holder.id} may write (${stage})`);
    }
  }
}

function writer(host: Host): writes.Writer {
  return { node: host.id, incarnation: host.incarnation };
}

function isNewer(a: Lease, b: Lease): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq);
}

function name(lease: Lease | null): string {
  return lease === null ? 'nothing' : `${lease.state} e${lease.epoch} s${lease.seq}`;
}

function require(holds: boolean, what: string): void {
  if (!holds) throw new InvariantBroken(what);
}
