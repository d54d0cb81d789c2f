/**
 * Asks, beside the rounds and never in them, whether the data disk takes a write and whether the server takes a new connection,
 * and keeps what came back with its age. At most one question of each kind is open. Each begins of trouble on the disk, and
 * its end, is an event; what follows is the decision table's.
 */
import { type AnswerProbeResult, probeAnswer } from '../../adapters/postgres/answer-probe.ts';
import {
  type DiskProbeResult,
  probeDisk,
  type RunningDiskProbe,
} from '../../adapters/postgres/disk-probe.ts';
import type { PostgresHost } from '../../adapters/postgres/host.ts';
import { walPosition } from '../../adapters/postgres/observe.ts';
import type { Postmaster } from '../../adapters/postgres/processes.ts';
import type { DiskHealth, HostHealth, Responsiveness } from '../../core/host/host-health.ts';
import type { Lsn } from '../../core/model/lsn.ts';
import type { Emit } from '../emit.ts';
import type { Look } from './server.ts';

export interface HealthWatchDeps {
  readonly host: PostgresHost;
  readonly lastLook: () => Look | null;
  readonly ttlMs: () => number;
  /** False while the data directory is being copied or rewound: a file that comes and goes would be in the way. */
  readonly mayTouchDisk: () => boolean;
  /** Something that a decision may rest on has changed. */
  readonly onChange: () => void;
  readonly emit: Emit;
  /** Milliseconds of the clock that counts suspension. */
  readonly now: () => number;
  readonly probes?: Probes;
}

/** For tests. */
export interface Probes {
  readonly disk: (options: { deadlineMs: number; leastFreeBytes: number }) => RunningDiskProbe;
  readonly answer: (postmaster: Postmaster | null, timeoutMs: number) => Promise<AnswerProbeResult>;
}

const everyMs = {
  /** Each costs four short programs, about 5 ms of a processor. */
  disk: { primary: 5_000, standby: 10_000, suspicious: 1_000 },
  /** Each costs the server a fork. */
  answer: { primary: 2_000, standby: 5_000, suspicious: 250 },
} as const;
const answerTimeoutMs = 1_000;
/** A disk under load may take seconds for an fsync; one that takes this long is as good as frozen. */
const leastFrozenMs = 10_000;
/** So many times as long when the server's log goes on meanwhile. */
const slowLimit = 3;
/** Below this, or a twentieth of the file system if that is less, a warning is due. */
const lowBytes = 1024 ** 3;
const lowShare = 20;
const defaultSegmentBytes = 16 * 1024 ** 2;

export class HealthWatch {
  readonly #deps: HealthWatchDeps;
  readonly #probes: Probes;
  #disk: { condition: DiskHealth['condition']; sinceMs: number; detail: string };
  #answer: { kind: Responsiveness['kind']; firstMissMs: number; misses: number };
  #diskAskedMs = Number.NEGATIVE_INFINITY;
  #answerAskedMs = Number.NEGATIVE_INFINITY;
  #diskOpen = false;
  #answerOpen = false;
  #low = false;
  /** The probe that is open was given up: it is frozen, unless the server's log goes on. */
  #overdue: string | null = null;
  #written: { lsn: Lsn | null; sinceMs: number } = { lsn: null, sinceMs: Number.NEGATIVE_INFINITY };

  constructor(deps: HealthWatchDeps) {
    this.#deps = deps;
    this.#probes = deps.probes ?? {
      disk: (options) => probeDisk(deps.host, options),
      answer: (postmaster, timeoutMs) => probeAnswer(deps.host, postmaster, timeoutMs),
    };
    this.#disk = { condition: 'unknown', sinceMs: deps.now(), detail: '' };
    this.#answer = { kind: 'unknown', firstMissMs: 0, misses: 0 };
  }

  health(): HostHealth {
    const now = this.#deps.now();
    const { condition, sinceMs, detail } = this.#disk;
    const { kind, firstMissMs, misses } = this.#answer;
    return {
      disk: { condition, forMs: now - sinceMs, detail, ...(this.#low ? { low: true } : {}) },
      responsiveness: { kind, forMs: misses === 0 ? 0 : now - firstMissMs, misses },
    };
  }

  /** Asks what is due: to be called four times a second, which is how often a sick server is asked. */
  tick(): void {
    const look = this.#deps.lastLook();
    if (look === null) return;
    const lsn = look.observation === null ? null : walPosition(look.observation);
    if (lsn !== null && lsn !== this.#written.lsn) this.#written = { lsn, sinceMs: this.#deps.now() };
    this.#judgeOverdue();
    this.#askDisk(look);
    this.#askServer(look);
  }

  #askDisk(look: Look): void {
    if (look.dataDirectory !== 'present') {
      this.#diskIs('unknown', 'there is no data directory');
      return;
    }
    const now = this.#deps.now();
    const runs = look.postgres.kind === 'primary' || look.postgres.kind === 'standby';
    const well = this.#disk.condition === 'ok' && runs;
    const role = look.postgres.kind === 'standby' ? 'standby' : 'primary';
    const due = now - this.#diskAskedMs >= everyMs.disk[well ? role : 'suspicious'];
    if (this.#diskOpen || !due || !this.#deps.mayTouchDisk()) return;
    this.#diskOpen = true;
    this.#diskAskedMs = now;
    const leastFreeBytes = look.control?.walSegmentBytes ?? defaultSegmentBytes;
    const deadlineMs = this.#frozenMs();
    const probe = this.#probes.disk({ deadlineMs, leastFreeBytes });
    void probe.result.then((result) => this.#diskSaid(result));
    void probe.ended.then(() => {
      this.#diskOpen = false;
      this.#overdue = null;
    });
  }

  #frozenMs(): number {
    return Math.max(leastFrozenMs, 2 * this.#deps.ttlMs());
  }

  /**
   * A disk on which the server's log grows is slow, and not frozen; but not for ever, because the log may be on another one.
   */
  #judgeOverdue(): void {
    if (this.#overdue === null) return;
    const now = this.#deps.now();
    const stillMs = now - Math.max(this.#diskAskedMs, this.#written.sinceMs);
    const frozen = stillMs >= this.#frozenMs() || now - this.#diskAskedMs >= slowLimit * this.#frozenMs();
    if (frozen) this.#diskIs('frozen', this.#overdue);
  }

  #diskSaid(result: DiskProbeResult): void {
    if (result.condition === 'frozen') {
      this.#overdue = result.detail;
      this.#judgeOverdue();
      return;
    }
    this.#diskIs(result.condition, result.detail);
    const { freeBytes, sizeBytes } = result;
    if (freeBytes === null || sizeBytes === null) return;
    const limit = Math.min(lowBytes, sizeBytes / lowShare);
    if (!this.#low && freeBytes < limit) {
      this.#deps.emit('disk_space_low', result.detail, { details: { free_bytes: freeBytes, limit } });
    }
    // Not at once again when it hovers about the limit.
    this.#low = freeBytes < (this.#low ? 1.25 * limit : limit);
  }

  #diskIs(condition: DiskHealth['condition'], detail: string): void {
    const former = this.#disk;
    if (former.condition === condition) {
      this.#disk = { ...former, detail };
      return;
    }
    this.#disk = { condition, sinceMs: this.#deps.now(), detail };
    const sick = condition !== 'ok' && condition !== 'unknown';
    const wasSick = former.condition !== 'ok' && former.condition !== 'unknown';
    if (sick) this.#deps.emit('disk_trouble', `${condition}: ${detail}`, { details: { condition } });
    else if (wasSick)
      this.#deps.emit('disk_recovered', `was ${former.condition}`, { details: { condition } });
    this.#deps.onChange();
  }

  #askServer(look: Look): void {
    const { postmaster } = look;
    if (postmaster === null) {
      this.#answer = { kind: 'unknown', firstMissMs: 0, misses: 0 };
      return;
    }
    const now = this.#deps.now();
    const role = look.postgres.kind === 'standby' ? 'standby' : 'primary';
    const pace = this.#answer.misses > 0 ? 'suspicious' : role;
    if (this.#answerOpen || now - this.#answerAskedMs < everyMs.answer[pace]) return;
    this.#answerOpen = true;
    this.#answerAskedMs = now;
    void this.#probes.answer(postmaster, answerTimeoutMs).then((kind) => {
      this.#answerOpen = false;
      // Of another postmaster than the present one: it says nothing.
      if (this.#deps.lastLook()?.postmaster?.pid !== postmaster.pid) return;
      if (kind === 'answers' || kind === 'refused') {
        this.#answer = { kind, firstMissMs: 0, misses: 0 };
        return;
      }
      const { misses, firstMissMs } = this.#answer;
      this.#answer = { kind, misses: misses + 1, firstMissMs: misses === 0 ? now : firstMissMs };
      this.#deps.onChange();
    });
  }
}
