/**
 * A primary with its standbys as PostgreSQL's synchronous replication really works, process by process: each walsender acknowledges by the
 * configuration that it has read so far, the checkpointer switches waiting on and off, and both read a new configuration at any later moment. On
 * it runs the production planner, which may be interrupted between any two of its doings. Whoever drives it learns of each acknowledged commit
 * that a safe election would lose.
 */
import type { SynchronousSpec } from '../../core/model/cluster-record.ts';
import { alone, type NodeId, type SynchronousRule, type SynchronousSet } from '../../core/model/lease.ts';
import { type Lsn, lsnOf } from '../../core/model/lsn.ts';
import { barrierPassed, type Sender } from '../../core/synchronous/barrier.ts';
import { mayLose } from '../../core/synchronous/election.ts';
import { firstRule, syncOfNewEpoch } from '../../core/synchronous/new-epoch.ts';
import { planSynchronous } from '../../core/synchronous/plan-synchronous.ts';
import { ruleOf } from '../../core/synchronous/synchronous-rule.ts';
import { type Standbys, trackStandbys, wantedRule } from '../../core/synchronous/wanted-rule.ts';

/** What a process knows, and by when it must have read the present file. */
interface Walsender {
  conf: SynchronousRule;
  flushed: number;
  /** Told to reload when the log had this length: an answer for more comes after the reload. Null: not told. */
  told: number | null;
}

interface Agent {
  inForce: SynchronousRule | null;
  barrierAt: number | null;
  /** A new file has been written and the processes may have been told; not all are known to have been. */
  applying: SynchronousRule | null;
  standbys: Standbys;
}

const newAgent = (): Agent => ({ inForce: null, barrierAt: null, applying: null, standbys: new Map() });
const at = (length: number): Lsn => lsnOf(BigInt(length));

/** Ways to break the planner, to see that the model notices. */
export interface Sabotage {
  readonly noBarrier?: true;
  readonly applyFirst?: true;
  readonly forgetFormer?: true;
  readonly forgetPast?: true;
}

export class SynchronousWorld {
  readonly nodes: readonly NodeId[];
  readonly logs = new Map<NodeId, number[]>();
  readonly acknowledged = new Set<number>();
  /** With how few standbys a commit was acknowledged, at the least, since the mode has been in the lease. */
  fewestCopies = Number.POSITIVE_INFINITY;
  spec: SynchronousSpec;
  primary: NodeId;
  sync: SynchronousSet;
  /** Of a fuzzer that wants something else than the rule says. */
  wish: SynchronousRule | null = null;
  nowMs = 0;
  readonly #files = new Map<NodeId, SynchronousRule>();
  readonly #sabotage: Sabotage;
  #senders = new Map<NodeId, Walsender>();
  #waiting: { readonly commit: number; readonly length: number }[] = [];
  #waits = false;
  #commits = 0;
  #agent = newAgent();

  constructor(nodes: readonly NodeId[], spec: SynchronousSpec, sabotage: Sabotage = {}) {
    this.nodes = nodes;
    this.spec = spec;
    this.#sabotage = sabotage;
    const [first] = nodes;
    if (first === undefined) throw new Error('no node');
    this.primary = first;
    for (const node of nodes) this.logs.set(node, []);
    const rule = firstRule({ spec, lease: null, others: this.#others() });
    this.sync = { ...rule, mode: spec.mode, next: null };
    this.#start(rule);
  }

  standbys(): readonly NodeId[] {
    return this.nodes.filter((node) => node !== this.primary);
  }

  // What clients and standbys do.

  commit(): void {
    this.#commits += 1;
    const log = this.#log(this.primary);
    log.push(this.#commits);
    if (this.#waits) this.#waiting.push({ commit: this.#commits, length: log.length });
    else this.#acknowledge(this.#commits);
  }

  attach(node: NodeId): void {
    if (node === this.primary || this.#senders.has(node)) return;
    const log = this.#log(node);
    log.length = this.#shared(node);
    this.#senders.set(node, { conf: this.#file(), flushed: log.length, told: null });
  }

  detach(node: NodeId): void {
    this.#senders.delete(node);
  }

  flush(node: NodeId, records: number): void {
    if (!this.#senders.has(node)) return;
    const [log, primary] = [this.#log(node), this.#log(this.primary)];
    log.push(...primary.slice(log.length, log.length + records));
  }

  /** Its walsender reads its configuration, as it must have if the answer is for something that was written after it was told. */
  reply(node: NodeId, reload: boolean): void {
    const sender = this.#senders.get(node);
    if (sender === undefined) return;
    sender.flushed = this.#log(node).length;
    if (reload || (sender.told !== null && sender.flushed > sender.told)) {
      sender.conf = this.#file();
      sender.told = null;
    }
    const released = this.#releasedBy(sender.conf, node);
    for (const one of this.#waiting) if (one.length <= released) this.#acknowledge(one.commit);
    this.#waiting = this.#waiting.filter(({ length }) => length > released);
  }

  /** The checkpointer reads the file. */
  checkpointer(): void {
    this.#waits = this.#file().k > 0;
    if (this.#waits) return;
    for (const { commit } of this.#waiting) this.#acknowledge(commit);
    this.#waiting = [];
  }

  // What the agent does, and what interrupts it.

  restartAgent(): void {
    this.#agent = newAgent();
  }

  /** A crash: clients never hear of what waited. The agent writes the file before it starts the server. */
  restartServer(): void {
    this.#start(this.sync.next ?? ruleOf(this.sync));
    this.#agent = { ...newAgent(), standbys: this.#agent.standbys };
  }

  /** One doing of the agent; the id of the planner's row, or of the second half of putting a rule in force. */
  step(): string {
    const agent = this.#agent;
    if (agent.applying !== null) return this.#finishApplying(agent.applying);
    this.#look();
    const wanted = this.wish ?? wantedRule(this.#wantedView());
    const { rule, step } = planSynchronous({
      sync: this.sync,
      mode: this.spec.mode,
      wanted,
      inForce: agent.inForce,
      barrierPassed: this.#barrierPassed(),
    });
    if (step.kind === 'write') {
      const forgets = this.#sabotage.forgetFormer && step.sync.next !== null;
      this.sync = forgets ? { ...ruleOf(this.sync), mode: this.sync.mode, next: step.sync.next } : step.sync;
      if (this.#sabotage.applyFirst && step.sync.next !== null) this.sync = { ...this.sync, next: null };
    }
    if (step.kind === 'apply') {
      agent.inForce = null;
      agent.applying = step.to;
      this.#files.set(this.primary, step.to);
    }
    return rule;
  }

  // Elections.

  /** Acknowledged commits that one of those who answer would lose, although the election calls it safe. */
  lostBySafeElection(answering: readonly NodeId[]): readonly number[] {
    return this.#safeAmong(answering).flatMap((node) => {
      const kept = new Set(this.#log(node).slice(0, this.#shared(node)));
      return [...this.acknowledged].filter((commit) => !kept.has(commit));
    });
  }

  /** The best of those who answer, if it is safe to promote it. */
  safeChoice(answering: readonly NodeId[]): NodeId | null {
    const [best] = this.#safeAmong(answering).toSorted((a, b) => this.#shared(b) - this.#shared(a));
    return best ?? null;
  }

  #safeAmong(answering: readonly NodeId[]): readonly NodeId[] {
    if (this.sync.mode === 'off') return [];
    const answers = new Map(answering.map((node) => [node, at(this.#shared(node))]));
    return answering.filter((node) => mayLose(this.sync, answers, at(this.#shared(node))) === null);
  }

  /** Those who answered have ended their receivers, and acknowledge nothing more. */
  endReceivers(answering: readonly NodeId[]): void {
    for (const node of answering) this.detach(node);
  }

  promote(node: NodeId, clean: boolean): void {
    const lease = {
      holder: this.primary,
      state: clean ? ('released' as const) : ('sealed' as const),
      releasedAtLsn: clean ? at(this.#log(this.primary).length) : null,
      neverPromoted: false,
      sync: this.sync,
    };
    this.#log(node).length = this.#shared(node);
    this.primary = node;
    const view = { lease, spec: this.spec, others: this.#others(), node };
    const rule = firstRule(view);
    this.sync = syncOfNewEpoch(view, rule);
    if (this.#sabotage.forgetPast) this.sync = { ...rule, mode: this.spec.mode, next: null };
    this.#start(rule);
    this.#agent = newAgent();
    this.fewestCopies = Number.POSITIVE_INFINITY;
  }

  /** A switchover: everything reaches the target before the old primary stops. */
  handOver(node: NodeId): void {
    if (!this.#senders.has(node)) return;
    this.flush(node, this.#log(this.primary).length);
    this.#waiting = [];
    this.promote(node, true);
  }

  isSettled(): boolean {
    return this.sync.next === null && this.#waiting.length === 0;
  }

  #finishApplying(rule: SynchronousRule): string {
    // A session opened afterwards has seen the value: all have been told, and the checkpointer was seen to have read it.
    this.checkpointer();
    const log = this.#log(this.primary);
    for (const sender of this.#senders.values()) sender.told ??= log.length;
    log.push(0);
    this.#agent = { ...this.#agent, applying: null, inForce: rule, barrierAt: log.length };
    return 'applied';
  }

  #barrierPassed(): boolean {
    const { next } = this.sync;
    const { barrierAt } = this.#agent;
    if (next === null || barrierAt === null) return false;
    if (this.#sabotage.noBarrier) return true;
    return barrierPassed({
      former: ruleOf(this.sync),
      next,
      senders: this.#visibleSenders(),
      barrierLsn: at(barrierAt),
    });
  }

  #visibleSenders(): readonly Sender[] {
    return [...this.#senders].map(([name, { conf, flushed }]) => {
      const priority = conf.k > 0 && conf.names.includes(name) ? 1 : 0;
      return { name, state: 'streaming', priority, flushLsn: at(flushed) };
    });
  }

  #look(): void {
    const look = {
      nodes: this.standbys(),
      senders: this.#visibleSenders(),
      writtenLsn: at(this.#log(this.primary).length),
    };
    this.#agent.standbys = trackStandbys(this.#agent.standbys, look, this.nowMs);
  }

  #wantedView() {
    return {
      spec: this.spec,
      current: this.sync.next ?? ruleOf(this.sync),
      others: this.#others(),
      standbys: this.#agent.standbys,
      nowMs: this.nowMs,
    };
  }

  #others() {
    return this.standbys().map((node) => ({ node, failoverPriority: 0 }));
  }

  /** PostgreSQL's SyncRepReleaseWaiters: up to which length the walsender of `node` releases commits. */
  #releasedBy({ method, k, names }: SynchronousRule, node: NodeId): number {
    if (k === 0 || !names.includes(node)) return 0;
    const named = names.filter((name) => this.#senders.has(name));
    if (named.length < k) return 0;
    const flushed = (name: NodeId): number => this.#senders.get(name)?.flushed ?? 0;
    if (method === 'first') return Math.min(...named.slice(0, k).map(flushed));
    return named.map(flushed).toSorted((a, b) => b - a)[k - 1] ?? 0;
  }

  #acknowledge(commit: number): void {
    this.acknowledged.add(commit);
    const copies = this.standbys().filter((node) => this.#log(node).includes(commit)).length;
    this.fewestCopies = Math.min(this.fewestCopies, copies);
  }

  #start(rule: SynchronousRule): void {
    this.#files.set(this.primary, rule);
    this.#senders = new Map();
    this.#waiting = [];
    this.#waits = rule.k > 0;
  }

  #file(): SynchronousRule {
    return this.#files.get(this.primary) ?? alone;
  }

  #log(node: NodeId): number[] {
    const log = this.logs.get(node);
    if (log === undefined) throw new Error(`no node ${node}`);
    return log;
  }

  /** How much of its log a node has in common with the primary. Barrier records (0) are no commits, and all alike. */
  #shared(node: NodeId): number {
    const [own, primary] = [this.#log(node), this.#log(this.primary)];
    const differs = own.findIndex((record, index) => record !== primary[index]);
    return differs < 0 ? own.length : differs;
  }
}
