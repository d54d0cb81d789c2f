/**
 * The peer channel in the model's world: every question may arrive late, twice or never, and so may every promise, at whatever
 * moment. The holder takes promises whenever they come, however late: more than the agent does. At each extension the world's
 * lease must still be the holder's.
 */
import {
  decideStanding,
  type FailsafeAnswer,
  type FailsafeAsk,
  judgeAnswers,
  membersToAsk,
} from '../../core/lease/failsafe.ts';
import { renewed } from '../../core/lease/lease-clock.ts';
import { answerAsk } from '../../core/lease/promises.ts';
import type { Lease } from '../../core/model/lease.ts';
import { type Host, InvariantBroken, type Transit } from './world-host.ts';

/** What the line needs of the world. */
interface World {
  readonly hosts: readonly Host[];
  readonly lease: Lease | null;
  clock(host: Host): number;
  isWritable(host: Host): boolean;
  checkWritable(): void;
  nextOrdinal(): number;
}

interface Round {
  readonly ask: FailsafeAsk;
  readonly ordinal: number;
  readonly sentAtMs: number;
  readonly members: readonly string[];
  readonly answers: Map<string, FailsafeAnswer | null>;
}

interface Question {
  readonly round: Round;
  readonly member: string;
}

const mostUnderWay = 30;

export class FailsafeLine {
  readonly #world: World;
  readonly #last = new Map<string, Round>();
  #questions: Question[] = [];
  #answers: { readonly round: Round; readonly answer: FailsafeAnswer }[] = [];
  /** How often all had promised: a run in which that never happened proves nothing. */
  extensions = 0;
  refusals = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** The first member's question and answer go by `transit`, the others' arrive at once. */
  ask(host: Host, lease: Lease, transit: Transit): void {
    if (!this.#mayRely(host, lease.epoch)) return;
    const ordinal = this.#world.nextOrdinal();
    const round: Round = {
      ask: {
        cluster: 'main',
        holder: host.id,
        incarnation: host.incarnation,
        epoch: lease.epoch,
        ttlMs: lease.ttlMs,
        nonce: `ask${ordinal}`,
      },
      ordinal,
      sentAtMs: this.#world.clock(host),
      members: membersToAsk(
        host.id,
        lease.members,
        host.offered.flatMap(({ members }) => members),
      ),
      answers: new Map(),
    };
    this.#last.set(host.id, round);
    round.members.forEach((member, index) => {
      this.#send({ round, member }, index === 0 ? transit : 'instant');
    });
    if (round.members.length === 0) this.#judge(round);
  }

  landQuestion(index: number): void {
    const question = this.#questions[index % this.#questions.length];
    if (question === undefined) return;
    this.#questions = this.#questions.filter((one) => one !== question);
    this.#answer(question, index % 3 === 0 ? 'answer-late' : 'instant');
  }

  deliverAnswer(index: number): void {
    const found = this.#answers[index % this.#answers.length];
    if (found === undefined) return;
    // An answer may come again.
    if (index % 4 !== 0) this.#answers = this.#answers.filter((one) => one !== found);
    // Or is taken for the answer to what was asked last, if the line has its way.
    const last = this.#last.get(found.round.ask.holder) ?? found.round;
    this.#receive(index % 5 === 0 ? last : found.round, found.answer);
  }

  #send(question: Question, transit: Transit): void {
    if (transit === 'request-late' || transit === 'twice') {
      this.#questions.push(question);
      if (this.#questions.length > mostUnderWay) this.#questions.shift();
    }
    if (transit !== 'request-late') this.#answer(question, transit);
  }

  #answer({ round, member }: Question, transit: Transit): void {
    const host = this.#world.hosts.find(({ id }) => id === member);
    if (host === undefined || !host.alive) return;
    const { ask } = round;
    const view = { cluster: 'main', node: host.id, lease: host.watch.lease, registeredElsewhere: false };
    const decided = answerAsk({ ...view, promises: host.promises, ask }, this.#world.clock(host));
    host.promises = decided.promises;
    if (!decided.answer.promised) this.refusals += 1;
    if (transit === 'answer-lost') return;
    if (transit === 'answer-late') {
      this.#answers.push({ round, answer: decided.answer });
      if (this.#answers.length > mostUnderWay) this.#answers.shift();
    } else this.#receive(round, decided.answer);
  }

  #receive(round: Round, answer: FailsafeAnswer): void {
    round.answers.set(answer.member, answer);
    this.#judge(round);
  }

  #judge(round: Round): void {
    const { ask, members, answers, ordinal, sentAtMs } = round;
    const host = this.#world.hosts.find(({ id }) => id === ask.holder);
    if (host === undefined || !host.alive || host.incarnation !== ask.incarnation) return;
    if (judgeAnswers(ask, members, answers).kind !== 'all-promised') return;
    if (ordinal <= host.stoppedAt || !this.#mayRely(host, ask.epoch)) return;
    host.hold = renewed(host.hold, ask.epoch, sentAtMs, ask.ttlMs);
    this.extensions += 1;
    const { lease } = this.#world;
    const own = lease?.epoch === ask.epoch && lease.state === 'held';
    if (!own && this.#world.isWritable(host)) {
      throw new InvariantBroken(
        `${host.id} lives on promises of epoch ${ask.epoch}, the lease is ${lease?.state}`,
      );
    }
    this.#world.checkWritable();
  }

  #mayRely(host: Host, epoch: number): boolean {
    const writer = { node: host.id, incarnation: host.incarnation };
    const { known: lease, hold, refused } = host;
    const standing = {
      enabled: true,
      lease,
      writer,
      proven: hold?.epoch === lease?.epoch,
      refused,
      letsGo: false,
    };
    return decideStanding(standing).may && lease?.epoch === epoch && epoch > host.barredEpoch;
  }
}
