/**
 * Synchronous replication on the primary's host: takes the steps that `core/synchronous/plan-synchronous.ts` plans, and puts the names of a new
 * epoch in force before its lease is acquired. Upholds S1: a rule is put in force only while it is recorded in the lease that this agent holds,
 * or before this node can be primary; one rule at a time, so that what is remembered as in force is.
 */
import type { Postmaster } from '../../adapters/postgres/processes.ts';
import type { SendersLook } from '../../adapters/postgres/synchronous.ts';
import { renew } from '../../core/lease/lease-write.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import type { Lease, SynchronousRule, SynchronousSet } from '../../core/model/lease.ts';
import { formatLsn, type Lsn } from '../../core/model/lsn.ts';
import { barrierPassed } from '../../core/synchronous/barrier.ts';
import { firstRule, syncOfNewEpoch } from '../../core/synchronous/new-epoch.ts';
import { planSynchronous, type SynchronousDecision } from '../../core/synchronous/plan-synchronous.ts';
import {
  describeRule,
  type RankedNode,
  ruleOf,
  ruleText,
  sameRule,
} from '../../core/synchronous/synchronous-rule.ts';
import { type Standbys, trackStandbys, wantedRule } from '../../core/synchronous/wanted-rule.ts';
import type { HostContext } from './host-context.ts';

/** A rule that was proven to be in force in one server. */
interface InForce {
  readonly rule: SynchronousRule;
  readonly postmaster: Postmaster;
  /** The end of a record written after that; null: none yet, for it may be a standby. */
  readonly barrierLsn: Lsn | null;
}

/** A proof that waits for the checkpoints of a busy server: while this primary serves, it holds up nothing. */
const patientProofMs = 120_000;
/** The same where a lease is at stake: less than a hand-over waits for its target, twice of it less than a promotion may take. */
export const promptProofMs = 8_000;
/** Steps in a row, and looks at a barrier that is not passed yet, before the next round goes on. */
const maxSteps = 40;
const barrierLookMs = 25;
/** Rules whose writes are told in an event: what is in force has changed. */
const told: ReadonlySet<string> = new Set(['sync-settle', 'sync-alone', 'sync-turned-off']);

export class SynchronousNames {
  #standbys: Standbys = new Map();
  #inForce: InForce | null = null;
  #tending = false;
  #queue: Promise<unknown> = Promise.resolve();
  #lastRule = '';

  /** Beside the rounds, once at a time: what it waits for must hold up nothing. */
  tend(context: HostContext): void {
    if (this.#tending) return;
    this.#tending = true;
    void this.#tend(context)
      .catch((error: unknown) => context.log('error', 'synchronous names', { error: String(error) }))
      .finally(() => {
        this.#tending = false;
      });
  }

  /**
   * The rule of the epoch that this node is about to begin, in force in its server; `lease` is what will be acquired, null while it is not
   * free yet (a hand-over that is armed: the holder will have stopped cleanly). A text: why it cannot be had.
   */
  async prepare(context: HostContext, lease: Lease | null): Promise<SynchronousRule | string> {
    const { record, watch } = context.keeper.view();
    if (record === null) return 'the record is not known';
    // An action that is taken up again: what this node's lease says is in force, or will be before it is promoted.
    if (watch.lease?.state === 'held' && watch.lease.holder === context.config.node)
      return 'this node holds the lease already';
    const rule = firstRule({ spec: record.spec.sync, lease, others: othersOf(context) });
    const failure = await this.ensure(context, rule);
    return failure ?? rule;
  }

  /** What the acquire of that lease records, with `rule` in force. */
  syncOf(context: HostContext, lease: Lease, rule: SynchronousRule): SynchronousSet {
    const spec = context.keeper.view().record?.spec.sync ?? {
      mode: lease.sync.mode,
      method: rule.method,
      k: rule.k,
    };
    return syncOfNewEpoch({ lease, spec, node: context.config.node, others: othersOf(context) }, rule);
  }

  /**
   * Null once `rule` is proven to be in force in the server that runs, within `promptProofMs`; else why not. Cheap when it is known
   * to be.
   */
  async ensure(context: HostContext, rule: SynchronousRule): Promise<string | null> {
    const deadlineMs = context.now() + promptProofMs;
    return await this.#inTurn(async () => {
      const postmaster = await context.server.node.findPostmaster();
      if (postmaster === null) return 'PostgreSQL does not run';
      const known = this.#inForce;
      if (known !== null && isSame(known.postmaster, postmaster) && sameRule(known.rule, rule)) return null;
      const leftMs = deadlineMs - context.now();
      if (leftMs <= 0) return 'another change of the names took too long';
      return await this.#apply(context, { rule, postmaster, limitMs: leftMs });
    });
  }

  /** Before a server is started as primary: its file says what the lease says. */
  async writeBeforeStart(context: HostContext): Promise<void> {
    await this.#inTurn(async () => {
      this.#inForce = null;
      const sync = context.keeper.view().watch.lease?.sync;
      if (sync !== undefined) await context.server.node.setSynchronousStandbyNames(ruleText(inForceBy(sync)));
    });
  }

  async #tend(context: HostContext): Promise<void> {
    for (let step = 0; step < maxSteps; step += 1) {
      const lease = heldLease(context);
      const mode = context.keeper.view().record?.spec.sync.mode ?? 'off';
      if (lease === null) return;
      if (mode === 'off' && lease.sync.mode === 'off' && (await this.#isOff(context, lease.sync))) return;
      const decision = await this.#plan(context, lease);
      if (decision === null || decision.step.kind === 'nothing') return;
      if (decision.step.kind === 'await-barrier') await context.nextWake(barrierLookMs);
      else if (!(await this.#take(context, lease, decision))) return;
    }
  }

  /** The usual case of an asynchronous cluster costs nothing. */
  async #isOff(context: HostContext, sync: SynchronousSet): Promise<boolean> {
    return (
      sync.k === 0 && sync.next === null && context.server.last()?.observation?.synchronousStandbyNames === ''
    );
  }

  async #plan(context: HostContext, lease: Lease): Promise<SynchronousDecision | null> {
    const record = context.keeper.view().record;
    const look = await context.server.node.lookAtSenders();
    const postmaster = await context.server.node.findPostmaster();
    if (record === null || postmaster === null || look.kind !== 'senders') return null;
    const others = othersOf(context);
    const nowMs = context.now();
    this.#standbys = trackStandbys(this.#standbys, { ...look, nodes: others.map(({ node }) => node) }, nowMs);
    const { sync } = lease;
    const known = await this.#known(context, postmaster, look, sync);
    const decision = planSynchronous({
      sync,
      mode: record.spec.sync.mode,
      wanted: wantedRule({
        spec: record.spec.sync,
        current: inForceBy(sync),
        others,
        standbys: this.#standbys,
        nowMs,
      }),
      inForce: known?.rule ?? null,
      barrierPassed: known !== null && hasPassed(sync, known, look),
    });
    if (decision.rule !== this.#lastRule) {
      this.#lastRule = decision.rule;
      context.log('info', 'synchronous names', {
        rule: decision.rule,
        epoch: lease.epoch,
        step: decision.step,
      });
    }
    return decision;
  }

  /** What is in force still, by this look; with a barrier behind it where a change waits for one. */
  async #known(
    context: HostContext,
    postmaster: Postmaster,
    look: SendersLook,
    sync: SynchronousSet,
  ): Promise<InForce | null> {
    const known = this.#inForce;
    if (known === null) return null;
    if (!isSame(known.postmaster, postmaster) || look.names !== ruleText(known.rule)) {
      this.#inForce = null;
      return null;
    }
    if (known.barrierLsn !== null || sync.next === null || !sameRule(known.rule, sync.next)) return known;
    const barrierLsn = await context.server.node.writeBarrier();
    if (typeof barrierLsn !== 'bigint') return known;
    // Something else was put in force meanwhile, or the server is another: this barrier is of no use.
    if (this.#inForce !== known) return null;
    this.#inForce = { ...known, barrierLsn };
    context.log('info', 'synchronous barrier', { names: look.names, lsn: formatLsn(barrierLsn) });
    return this.#inForce;
  }

  /** False: another round has to go on. */
  async #take(context: HostContext, lease: Lease, { rule, step }: SynchronousDecision): Promise<boolean> {
    if (step.kind === 'write') {
      const written = await context.keeper.write(renew(lease, context.writer, { sync: step.sync }));
      if (written.kind === 'done' && told.has(rule)) {
        const message = `commits are acknowledged by ${describeRule(step.sync)} (${step.sync.mode})`;
        context.emit('synchronous_changed', message, { rule, epoch: lease.epoch });
        context.reportSoon();
      }
      // Refused: a renewal came between, and the step is planned anew on what is there.
      return written.kind !== 'uncertain';
    }
    if (step.kind !== 'apply') return true;
    const failure = await this.#inTurn(async () => {
      const now = heldLease(context);
      const postmaster = await context.server.node.findPostmaster();
      const recorded = now !== null && now.epoch === lease.epoch && isRecorded(now.sync, step.to);
      if (!recorded || postmaster === null) return 'it is not recorded any more, or PostgreSQL does not run';
      return await this.#apply(context, { rule: step.to, postmaster, limitMs: patientProofMs });
    });
    if (failure !== null) context.log('warn', 'synchronous names not in force', { rule, reason: failure });
    return failure === null;
  }

  async #apply(
    context: HostContext,
    { rule, postmaster, limitMs }: Pick<InForce, 'rule' | 'postmaster'> & { readonly limitMs: number },
  ): Promise<string | null> {
    this.#inForce = null;
    const { node } = context.server;
    // To acknowledge alone there is nothing to prove: nothing depends on it.
    const text = ruleText(rule);
    const put =
      rule.k === 0 ? await node.setSynchronousStandbyNames(text) : await node.putNamesInForce(text, limitMs);
    if (put.kind !== 'in-force') return 'reason' in put ? put.reason : `${put.kind} ${JSON.stringify(put)}`;
    // The same server all the while, or what was proven is of another one.
    const still = await node.findPostmaster();
    if (still === null || !isSame(still, postmaster)) return 'PostgreSQL was restarted meanwhile';
    this.#inForce = { rule, postmaster, barrierLsn: null };
    context.log('info', 'synchronous names in force', { names: text });
    return null;
  }

  /** One change of the file at a time. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => undefined);
    return await turn;
  }
}

/** The rule that a server must have while that is recorded: either is, but the newer one leads on. */
function inForceBy(sync: SynchronousSet): SynchronousRule {
  return sync.next ?? ruleOf(sync);
}

function isRecorded(sync: SynchronousSet, rule: SynchronousRule): boolean {
  return sameRule(sync, rule) || (sync.next !== null && sameRule(sync.next, rule));
}

function hasPassed(sync: SynchronousSet, inForce: InForce, look: SendersLook): boolean {
  if (sync.next === null || inForce.barrierLsn === null) return false;
  const { barrierLsn } = inForce;
  return barrierPassed({ former: ruleOf(sync), next: sync.next, senders: look.senders, barrierLsn });
}

function isSame(one: Postmaster, other: Postmaster): boolean {
  return one.pid === other.pid && one.startTicks === other.startTicks;
}

/** The lease while this agent holds it, proven on its clock. */
function heldLease(context: HostContext): Lease | null {
  const { watch, holdStage } = context.keeper.view();
  return context.keeper.isHolder() && holdStage === 'valid' ? watch.lease : null;
}

/** Whether a hand-over waits until its target has proven its names: the old primary and the target ask the same. */
export function awaitsPrepared(record: ClusterRecord | null): boolean {
  return record !== null && record.spec.sync.mode !== 'off';
}

/** The other members that may be promoted: who may not is never waited for, it could be the only one with a commit. */
export function othersOf(context: Pick<HostContext, 'keeper' | 'nodes' | 'config'>): readonly RankedNode[] {
  const members = context.keeper.view().record?.members ?? [];
  return members.flatMap((node) => {
    const tags = context.nodes().find((report) => report.node === node)?.tags;
    if (node === context.config.node || tags?.nofailover) return [];
    return [{ node, failoverPriority: tags?.failoverPriority ?? 0 }];
  });
}
