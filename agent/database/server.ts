/**
 * The PostgreSQL server of this host as its agent sees it: one look gathers what the decision table needs. Keeps apart
 * what looks alike: nothing runs, processes are left without a postmaster, it is starting, it does not answer, it answers.
 */
import { join } from 'node:path';
import { monotonicMs } from '../../adapters/clock.ts';
import { pathExists } from '../../adapters/postgres/files.ts';
import type { RunningObservation } from '../../adapters/postgres/observe.ts';
import type { PostgresNode } from '../../adapters/postgres/postgres-node.ts';
import type { Postmaster } from '../../adapters/postgres/processes.ts';
import { isProcessAlive, sendSignal } from '../../adapters/process.ts';
import type { HostDisk, HostPostgres } from '../../core/host/host-state.ts';
import type { NodeId } from '../../core/model/lease.ts';
import type { ControlData } from '../../core/wire/parse-pg-control.ts';

export interface Look {
  readonly postgres: HostPostgres;
  readonly observation: RunningObservation | null;
  readonly postmaster: Postmaster | null;
  readonly control: ControlData | null;
  readonly dataDirectory: HostDisk['dataDirectory'];
  readonly standbySignal: boolean;
}

type DiskFacts = Pick<Look, 'control' | 'dataDirectory' | 'standbySignal'>;

/** What was read of a running server's directory, and what the server itself said then. */
interface Kept {
  readonly disk: DiskFacts;
  readonly postmaster: Postmaster;
  readonly inRecovery: boolean;
  readonly timeline: number;
  /** How often work that may open the server had begun or ended. */
  readonly openings: number;
  readonly readMs: number;
}

/** Whom the server was last told to follow, and in which epoch. */
export interface Following {
  readonly node: NodeId;
  readonly host: string;
  readonly port: number;
  readonly epoch: number;
}

const lookTimeoutMs = 1_500;
const roleTimeoutMs = 1_000;
/** Two questions to the server and some small reads take no longer, unless the disk gives no answer. */
const hangingLookMs = 4_000;

/** For so long a calm look goes by what was read of the directory, while the same postmaster lives and the server says the same. */
const diskKeptMs = 5_000;

/** The source may have been away at the first attempt. */
const rewindAttempts = 2;

export class Server {
  readonly node: PostgresNode;
  #following: Following | null = null;
  #followsAs: string | null = null;
  #last: Look | null = null;
  #shutDown: Postmaster | null = null;
  #failedRewinds = { epoch: 0, count: 0 };
  /** A look that was given up has not ended yet. */
  #hanging = false;
  #kept: Kept | null = null;
  /** Work under way that may make the server writable, and how often such work has begun or ended. */
  #opening = 0;
  #openings = 0;
  /** As it was when the last look began. */
  #openingsSeen = 0;
  /** What a standby had received when it was last seen running: a restart forgets it. */
  #lastStandby: RunningObservation | null = null;

  constructor(node: PostgresNode) {
    this.node = node;
  }

  following(): Following | null {
    return this.#following;
  }

  nowFollows(following: Following | null): void {
    this.#following = following;
  }

  /** The login by which the server was last told to follow; null: nobody knows. */
  followsAs(): string | null {
    return this.#followsAs;
  }

  /** As of now: what is written for it is what is in use. */
  nowFollowsAs(login: string): void {
    this.#followsAs = login;
  }

  last(): Look | null {
    return this.#last;
  }

  /** The last observation as a standby, also after it stopped; null when it has not been seen as one. */
  lastStandby(): RunningObservation | null {
    return this.#lastStandby;
  }

  /** A rewind towards that epoch failed: how often. Tried again once, then the node is rebuilt. */
  rewindFailed(epoch: number): void {
    const former = this.#failedRewinds.epoch === epoch ? this.#failedRewinds.count : 0;
    this.#failedRewinds = { epoch, count: former + 1 };
  }

  isRewindHopeless(epoch: number): boolean {
    return this.#failedRewinds.epoch === epoch && this.#failedRewinds.count >= rewindAttempts;
  }

  /**
   * pg_control says that this postmaster has shut down: whatever of it is left (walsenders that send the last records) accepts
   * no write, and must not be killed for being without a lease.
   */
  nowShutDown(postmaster: Postmaster | null): void {
    this.#shutDown = postmaster;
    if (this.#last !== null) {
      this.#last = { ...this.#last, postgres: { kind: 'stopped' }, observation: null, postmaster: null };
    }
  }

  forgetStandby(): void {
    this.#lastStandby = null;
  }

  /** What is there, without a look at processes. */
  async dataDirectory(): Promise<Look['dataDirectory']> {
    return (await this.#disk()).dataDirectory;
  }

  /** Work that may make the server writable: what was seen before or during it proves nothing about it afterwards. */
  async opens<T>(work: () => Promise<T>): Promise<T> {
    this.#opening += 1;
    this.#openings += 1;
    try {
      return await work();
    } finally {
      this.#opening -= 1;
      this.#openings += 1;
    }
  }

  /** The last look found it down or a standby, and nothing that could open it has been under way since that look began. */
  isClosed(): boolean {
    const found = this.#last?.postgres.kind;
    return !this.mayHaveOpened() && (found === 'stopped' || found === 'standby');
  }

  /** Work that opens it is under way, or has been since the last look began: what that look found may be past. */
  mayHaveOpened(): boolean {
    return this.#opening > 0 || this.#openings !== this.#openingsSeen;
  }

  /** The immediate shutdown before the kill: PostgreSQL's own children end with it. */
  quit(): void {
    const postmaster = this.#last?.postmaster ?? null;
    if (postmaster !== null && isProcessAlive(postmaster.pid, postmaster.startTicks))
      sendSignal(postmaster.pid, 'SIGQUIT');
  }

  /** Asked now, not remembered. False also where it does not answer. */
  async answersAsPrimary(): Promise<boolean> {
    const answer = await this.node.query('select pg_is_in_recovery() as standby', roleTimeoutMs);
    return answer.kind === 'rows' && answer.rows[0]?.standby === false;
  }

  /** `calm`: nothing is under way that changes the directory, so that it need not be read each time. */
  async look(calm = false): Promise<Look> {
    const openings = this.#openings;
    const look = await this.#lookInTime(calm);
    this.#last = look;
    this.#openingsSeen = openings;
    if (look.observation?.inRecovery === true) this.#lastStandby = look.observation;
    return look;
  }

  /**
   * A read from a frozen disk never ends, and holds a thread of this process: the round must go on all the same, and no second
   * look is begun before the first has ended.
   */
  async #lookInTime(calm: boolean): Promise<Look> {
    if (this.#hanging) return this.#unseen();
    const looking = this.#look(calm);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Look>((resolve) => {
      timer = setTimeout(() => {
        this.#hanging = true;
        const ended = (): void => {
          this.#hanging = false;
        };
        looking.then(ended, ended);
        resolve(this.#unseen());
      }, hangingLookMs);
    });
    return await Promise.race([looking, late]).finally(() => clearTimeout(timer));
  }

  /** What was seen last, without its answers. */
  #unseen(): Look {
    const nothing = {
      control: null,
      dataDirectory: 'present',
      standbySignal: false,
      postmaster: null,
    } as const;
    return { ...(this.#last ?? nothing), postgres: { kind: 'unreachable' }, observation: null };
  }

  async #look(calm: boolean): Promise<Look> {
    const kept = calm ? this.#stillHolds() : null;
    let observation = kept === null ? null : await this.node.observe(lookTimeoutMs);
    if (kept !== null && observation?.kind === 'running' && saysTheSame(kept, observation))
      return this.#running(kept.disk, kept.postmaster, observation);
    const openings = this.#openings;
    const disk = await this.#disk();
    const postmaster = disk.dataDirectory === 'absent' ? null : await this.node.findPostmaster();
    this.#kept = null;
    if (postmaster !== null && this.#isShutDown(postmaster)) {
      return { ...disk, postgres: { kind: 'stopped' }, observation: null, postmaster: null };
    }
    if (postmaster === null) {
      const found = disk.dataDirectory === 'absent' ? [] : this.node.findProcesses();
      // The crash recovery before a rewind is a single-user server: it takes no connection, so it is nothing to fence.
      const left = found.filter(({ title }) => !title.includes(' --single '));
      // Between the fork and its lock file a starting postmaster looks like an orphan; the next look tells.
      return {
        ...disk,
        postgres: { kind: left.length > 0 ? 'orphaned' : 'stopped' },
        observation: null,
        postmaster,
      };
    }
    observation ??= await this.node.observe(lookTimeoutMs);
    if (observation.kind !== 'running') {
      return { ...disk, postgres: { kind: observation.kind }, observation: null, postmaster };
    }
    const { inRecovery, timeline } = observation;
    this.#kept = { disk, postmaster, inRecovery, timeline, openings, readMs: monotonicMs() };
    return this.#running(disk, postmaster, observation);
  }

  #running(disk: DiskFacts, postmaster: Postmaster, observation: RunningObservation): Look {
    const postgres: HostPostgres = observation.inRecovery
      ? { kind: 'standby', streaming: this.#streams(observation), upstream: this.#following?.node ?? null }
      : { kind: 'primary' };
    return { ...disk, postgres, observation, postmaster };
  }

  /** What was read last, where it needs not be read again. /proc never waits for a disk, and names a process for good. */
  #stillHolds(): Kept | null {
    const kept = this.#kept;
    if (kept === null || kept.openings !== this.#openings || this.#opening > 0) return null;
    if (monotonicMs() - kept.readMs >= diskKeptMs || this.#isShutDown(kept.postmaster)) return null;
    return isProcessAlive(kept.postmaster.pid, kept.postmaster.startTicks) ? kept : null;
  }

  #isShutDown(postmaster: Postmaster): boolean {
    const ended = this.#shutDown;
    return ended !== null && ended.pid === postmaster.pid && ended.startTicks === postmaster.startTicks;
  }

  async #disk(): Promise<DiskFacts> {
    if (await this.node.isQuarantined())
      return { control: null, dataDirectory: 'quarantined', standbySignal: false };
    if (!(await pathExists(this.node.host.dataDir)))
      return { control: null, dataDirectory: 'absent', standbySignal: false };
    const standbySignal = await pathExists(join(this.node.host.dataDir, 'standby.signal'));
    const control = await this.node.controlFile();
    if (control.kind !== 'control-data') return { control: null, dataDirectory: 'foreign', standbySignal };
    return { control, dataDirectory: 'present', standbySignal };
  }

  #streams(observation: RunningObservation): boolean {
    const { receiver } = observation;
    const following = this.#following;
    if (receiver === null || receiver.status !== 'streaming' || following === null) return false;
    return receiver.host === following.host && receiver.port === following.port;
  }
}

function saysTheSame(kept: Kept, { inRecovery, timeline }: RunningObservation): boolean {
  return inRecovery === kept.inRecovery && timeline === kept.timeline;
}

/** The slot of a node on every other: node ids have dashes, slots' names have not. */
export function slotName(node: NodeId): string {
  return `leasehold_${node.replaceAll('-', '_')}`;
}
