// One PostgreSQL server of a host as one object: the face of this folder to the agent. Holds what is kept between calls (two
// connections, what the last observation learned) and nothing that decides.

import { setTimeout } from 'node:timers/promises';
import type { LoginKind } from '../../core/model/cluster-secrets.ts';
import type { Lsn } from '../../core/model/lsn.ts';
import type { SystemIdentifier } from '../../core/model/system-identifier.ts';
import { type Adoption, adopt } from './adopt.ts';
import {
  type BaseBackupOptions,
  type BaseBackupResult,
  baseBackup,
  listKept,
  removeKept,
} from './base-backup.ts';
import {
  admitMembers,
  createStandbySignal,
  removeStandbySignal,
  type Upstream,
  writePasswordFile,
  writeUpstream,
} from './configuration.ts';
import { LocalConnection, type QueryFailure, type QueryResult } from './connection.ts';
import {
  type ControlReading,
  type HistoryReading,
  readControlFile,
  readHistoryFile,
} from './control-file.ts';
import { type Credentials, createPostgresHost, type PostgresHost, type PostgresHostOptions } from './host.ts';
import { type Initialisation, initialise } from './initialise.ts';
import {
  type AcceptingResult,
  awaitAccepting,
  reload,
  type StartResult,
  type StopResult,
  start,
  stopFast,
} from './lifecycle.ts';
import { type LoginFailure, setLogin, takesLogin } from './logins.ts';
import { type Observation, Observer } from './observe.ts';
import {
  awaitGone,
  findPostmaster,
  findProcesses,
  type KillEvidence,
  killAll,
  type Postmaster,
  type ServerProcess,
} from './processes.ts';
import {
  awaitWritable,
  expectPromotion,
  orderPromotion,
  type PromoteOrder,
  type WritableResult,
} from './promote.ts';
import { isQuarantined, quarantineReason } from './quarantine.ts';
import {
  awaitStreaming,
  endReceiver,
  follow,
  type ReceiverEnd,
  type SettingResult,
  type StreamingResult,
  setSynchronousStandbyNames,
} from './replication.ts';
import { ensureCleanShutdown, type RewindOptions, type RewindResult, rewind } from './rewind.ts';
import { advanceSlots, dropSlots, ensurePhysicalSlots, type SlotResult } from './slots.ts';
import {
  lookAtSenders,
  type NamesInForce,
  putNamesInForce,
  type SendersLook,
  writeBarrier,
} from './synchronous.ts';
import { ensureTimelineAbove, type TimelineReservation } from './timeline-placeholders.ts';
import { type KeptWal, keepDiscardedWal, type WalEnd, walEnd } from './wal.ts';

const SLOTS_TIMEOUT_MS = 5_000;
const RULES_TIMEOUT_MS = 3_000;

export class PostgresNode {
  readonly host: PostgresHost;
  /** For commands. Apart from the observer's: an observation that queued behind a command would look like silence. */
  readonly #probe: LocalConnection;
  /** Null: a former agent may have set it. */
  #promotionExpected: boolean | null = null;
  #startsNoMore = false;
  /** The running server has been told to read rules that take members. */
  #admitted = false;
  readonly #starting = new Set<Promise<StartResult>>();
  readonly #watching: LocalConnection;
  readonly #observer: Observer;
  #onEnd: () => void = () => undefined;

  /** Throws for a configuration that cannot work, naming the field. Starts nothing. */
  constructor(options: PostgresHostOptions) {
    this.host = createPostgresHost(options);
    this.#probe = new LocalConnection(this.host);
    this.#watching = new LocalConnection(this.host, { onEnd: () => this.#onEnd() });
    this.#observer = new Observer(this.host, this.#watching);
  }

  /** Ends kept connections; the server is left alone. */
  close(): void {
    this.#probe.close();
    this.#watching.close();
  }

  // The directory.

  initialise(nonce?: string): Promise<Initialisation> {
    return initialise(this.host, nonce);
  }
  /** Makes data of elsewhere ready to be a first primary. Only while stopped. */
  adopt(system: SystemIdentifier): Promise<Adoption> {
    return adopt(this.host, system);
  }
  controlFile(): Promise<ControlReading> {
    return readControlFile(this.host.dataDir);
  }
  history(timeline: number): Promise<HistoryReading> {
    return readHistoryFile(this.host.dataDir, timeline);
  }
  isQuarantined(): Promise<boolean> {
    return isQuarantined(this.host);
  }
  quarantineReason(): Promise<string | null> {
    return quarantineReason(this.host);
  }

  // The processes.

  /** Writes what `start({ as: 'standby' })` demands. Only while stopped. */
  async prepareStandby(upstream: Upstream | null): Promise<void> {
    await writeUpstream(this.host, upstream);
    await createStandbySignal(this.host);
  }
  /** Writes what `start({ as: 'primary' })` demands. Only while stopped, and only with the lease. */
  async preparePrimary(): Promise<void> {
    await removeStandbySignal(this.host);
  }
  start(options: { readonly as: 'primary' | 'standby' }): Promise<StartResult> {
    if (this.#startsNoMore) {
      return Promise.resolve({ kind: 'refused', reason: 'host-ends', processes: [] });
    }
    const starting = start(this.host, options).finally(() => this.#starting.delete(starting));
    this.#starting.add(starting);
    return starting;
  }
  /**
   * The host ends: every later start is refused. True when those under way have come to their end; false when one has not within
   * `timeoutMs`, as on a frozen disk: it may still bring up a server.
   */
  async startNoMore(timeoutMs: number): Promise<boolean> {
    this.#startsNoMore = true;
    const late = setTimeout(timeoutMs, undefined, { ref: false });
    await Promise.race([Promise.allSettled(this.#starting), late]);
    return this.#starting.size === 0;
  }
  awaitAccepting(
    started: { readonly pid: number; readonly startTicks: number; readonly logOffset?: number },
    timeoutMs: number,
  ): Promise<AcceptingResult> {
    return awaitAccepting(this.host, started, timeoutMs);
  }
  findPostmaster(): Promise<Postmaster | null> {
    return findPostmaster(this.host);
  }
  findProcesses(): ServerProcess[] {
    return findProcesses(this.host);
  }
  stopFast(timeoutMs: number): Promise<StopResult> {
    return stopFast(this.host, timeoutMs);
  }
  awaitGone(timeoutMs: number): Promise<readonly ServerProcess[]> {
    return awaitGone(this.host, timeoutMs);
  }
  killAll(reason: string, timeoutMs?: number): Promise<KillEvidence> {
    return killAll(this.host, reason, timeoutMs);
  }

  // The running server.

  observe(timeoutMs: number): Promise<Observation> {
    return this.#observer.observe(timeoutMs);
  }
  /** `heard`: the server has ended the observer's connection, as it does at once when its postmaster dies. */
  onServerEnd(heard: () => void): void {
    this.#onEnd = heard;
  }
  /** False: the end of the server would not be heard now, and is to be looked for. */
  hearsServerEnd(): boolean {
    return this.#watching.hearsEnd();
  }
  /** One statement on the probe connection, as the superuser in database postgres, committing locally. */
  query(sql: string, timeoutMs: number, values?: readonly unknown[]): Promise<QueryResult> {
    return this.#probe.query(sql, timeoutMs, values);
  }
  promote(): Promise<PromoteOrder> {
    return orderPromotion(this.host, this.#probe);
  }
  /** Before and after a promotion: how soon its startup process would notice one. */
  async expectPromotion(expected: boolean): Promise<void> {
    if (expected === this.#promotionExpected) return;
    if (await expectPromotion(this.#probe, expected)) this.#promotionExpected = expected;
  }
  /** What a former agent has set is in force; the end of the promotion resets it. */
  promotionIsExpected(): void {
    this.#promotionExpected = true;
  }
  expectsPromotion(): boolean {
    return this.#promotionExpected === true;
  }
  awaitWritable(timeoutMs: number): Promise<WritableResult> {
    return awaitWritable(this.host, this.#probe, timeoutMs);
  }
  ensureTimelineAbove(recorded: number, current?: number): Promise<TimelineReservation> {
    return ensureTimelineAbove(this.host, recorded, current);
  }
  follow(upstream: Upstream | null): Promise<SettingResult> {
    return follow(this.host, this.#probe, upstream);
  }
  awaitStreaming(
    from: { readonly host: string; readonly port: number } | null,
    timeoutMs: number,
  ): Promise<StreamingResult> {
    return awaitStreaming(this.#probe, from, timeoutMs);
  }
  endReceiver(timeoutMs: number): Promise<ReceiverEnd> {
    return endReceiver(this.host, this.#probe, timeoutMs);
  }
  setSynchronousStandbyNames(value: string): Promise<SettingResult> {
    return setSynchronousStandbyNames(this.host, this.#probe, value);
  }
  /** As above, and proven for every process of the server, see synchronous.ts. */
  putNamesInForce(value: string, limitMs: number): Promise<NamesInForce> {
    return putNamesInForce(this.host, this.#probe, value, limitMs);
  }
  writeBarrier(): Promise<Lsn | QueryFailure> {
    return writeBarrier(this.#probe);
  }
  lookAtSenders(): Promise<SendersLook | QueryFailure> {
    return lookAtSenders(this.#probe);
  }
  ensurePhysicalSlots(names: readonly string[], timeoutMs = SLOTS_TIMEOUT_MS): Promise<SlotResult> {
    return ensurePhysicalSlots(this.#probe, names, timeoutMs);
  }
  dropSlots(names: readonly string[], timeoutMs = SLOTS_TIMEOUT_MS): Promise<SlotResult> {
    return dropSlots(this.#probe, names, timeoutMs);
  }
  advanceSlots(
    positions: readonly { readonly name: string; readonly lsn: Lsn }[],
    timeoutMs = SLOTS_TIMEOUT_MS,
  ): Promise<SlotResult> {
    return advanceSlots(this.#probe, positions, timeoutMs);
  }
  /** A checkpoint can take minutes: on a connection of its own, so that observing goes on. */
  async checkpoint(
    timeoutMs: number,
  ): Promise<{ readonly kind: 'done'; readonly ms: number } | QueryFailure> {
    const startedMs = performance.now();
    const connection = new LocalConnection(this.host, { statementTimeoutMs: 0 });
    try {
      const answer = await connection.query('checkpoint', timeoutMs);
      return answer.kind === 'rows' ? { kind: 'done', ms: performance.now() - startedMs } : answer;
    } finally {
      connection.close();
    }
  }

  /** The password file as the logins are now. */
  writePasswords(): Promise<void> {
    return writePasswordFile(this.host);
  }
  /**
   * The running server lets in the second role of each login too; else why it may not. Reloads what has changed, and once in any case: a
   * former agent may have died before it did.
   */
  async admitMembers(): Promise<string | null> {
    const found = await admitMembers(this.host);
    if (found === 'foreign') return 'pg_hba.conf is not as Leasehold wrote it';
    if (found === 'changed') this.#admitted = false;
    this.#admitted ||= await reload(this.host);
    const sql = 'select line_number, error from pg_hba_file_rules where error is not null limit 1';
    const wrong = await this.#probe.query(sql, RULES_TIMEOUT_MS);
    if (wrong.kind !== 'rows') return `pg_hba.conf could not be checked: ${wrong.kind}`;
    const [line] = wrong.rows;
    if (line !== undefined) return `pg_hba.conf, line ${line['line_number']}: ${line['error']}`;
    return this.#admitted ? null : 'the server could not be told to read pg_hba.conf';
  }
  /** Whether the local server takes that login, with the rights that it is for; null when it cannot be asked. */
  takesLogin(kind: LoginKind, login: Credentials): Promise<boolean | null> {
    return takesLogin(this.host, kind, login);
  }
  /** Makes that login, or sets its password anew. On a primary. */
  setLogin(kind: LoginKind, login: Credentials): Promise<LoginFailure | null> {
    return setLogin(this.#probe, kind, login);
  }

  // Copies.

  baseBackup(options: BaseBackupOptions): Promise<BaseBackupResult> {
    return baseBackup(this.host, options);
  }
  listKept(): Promise<string[]> {
    return listKept(this.host);
  }
  removeKept(except?: readonly string[]): Promise<string[]> {
    return removeKept(this.host, except);
  }
  ensureCleanShutdown(): Promise<string | null> {
    return ensureCleanShutdown(this.host);
  }
  rewind(options: RewindOptions): Promise<RewindResult> {
    return rewind(this.host, options);
  }
  walEnd(timeline?: number): Promise<WalEnd> {
    return walEnd(this.host, timeline);
  }
  keepDiscardedWal(range: {
    readonly timeline: number;
    readonly fromLsn: Lsn;
    readonly toLsn: Lsn | null;
    readonly into: string;
  }): Promise<KeptWal> {
    return keepDiscardedWal(this.host, range);
  }
}
