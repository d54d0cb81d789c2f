/**
 * The few facts that must survive this host's crash: the highest epoch it has seen, the epoch at which it is barred from
 * running a primary, which epoch its data belongs to, and for which operation it ended its WAL receiver. Each change is
 * on disk (fsync, rename, fsync of the folder) before it counts. Upholds that the bar only ever rises, whoever sets it: a bar is
 * a file named after its epoch, made and never changed, so that two processes at once cannot lower it.
 */
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

export interface DurableFacts {
  readonly highestEpoch: number;
  readonly fencedEpoch: number;
  /** The epoch that this data directory was last part of, as primary or following its primary. */
  readonly dataEpoch: number;
  readonly receiverEnded: { readonly operation: string; readonly epoch: number } | null;
  /** The nonce of the bootstrap that made the data directory; null for a clone. */
  readonly bootstrapNonce: string | null;
}

const nothingSeen: DurableFacts = {
  highestEpoch: 0,
  fencedEpoch: 0,
  dataEpoch: 0,
  receiverEnded: null,
  bootstrapNonce: null,
};

/** Writes `content` so that after a crash either the old or the new file is there, whole. One writer a file. */
export function writeDurably(path: string, content: string, mode = 0o600): void {
  const temporary = `${path}.new`;
  const fd = openSync(temporary, 'w', mode);
  try {
    writeSync(fd, content);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  syncFolder(dirname(path));
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/**
 * This host may run no primary at `epoch` or below from now on, also not after a crash. Needs nothing else of the state in
 * `folder` to be readable: a fence must not fail because of it.
 */
export function barHost(folder: string, epoch: number): void {
  if (!Number.isSafeInteger(epoch) || epoch < 0) throw new Error(`no epoch: ${epoch}`);
  const bars = join(folder, 'barred');
  mkdirSync(bars, { recursive: true, mode: 0o700 });
  const fd = openSync(join(bars, `${epoch}`), 'a', 0o600);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  for (const path of [bars, folder]) syncFolder(path);
}

export class DiskState {
  readonly #folder: string;
  readonly #path: string;
  #facts: DurableFacts;

  /** `folder` is made where missing. Throws when the file is there and cannot be understood: never guess a fence. */
  constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#folder = folder;
    this.#path = join(folder, 'history.json');
    this.#facts = { ...read(this.#path), fencedEpoch: readBar(folder) };
  }

  facts(): DurableFacts {
    return this.#facts;
  }

  sawEpoch(epoch: number): void {
    if (epoch > this.#facts.highestEpoch) this.#change({ highestEpoch: epoch });
  }

  /** This host may run no primary at `epoch` or below from now on. */
  bar(epoch: number): void {
    barHost(this.#folder, epoch);
    this.reload();
  }

  dataBelongsTo(epoch: number): void {
    if (epoch !== this.#facts.dataEpoch) this.#change({ dataEpoch: epoch });
  }

  /** Both facts of a lease just taken, in one write: this is on the path of every hand-over. */
  enterEpoch(epoch: number): void {
    const highestEpoch = Math.max(epoch, this.#facts.highestEpoch);
    this.#change({ highestEpoch, dataEpoch: epoch });
  }

  endedReceiver(ended: DurableFacts['receiverEnded']): void {
    this.#change({ receiverEnded: ended });
  }

  /**
   * The data here becomes the first of a cluster that knows nothing of what this host has seen in another one: its epochs begin anew,
   * and the bars of the former ones are set aside. `nonce` names the adoption, by which it is done once.
   */
  beginAnew(nonce: string): void {
    const bars = join(this.#folder, 'barred');
    if (existsSync(bars)) {
      renameSync(bars, `${bars}.before-${randomUUID().slice(0, 8)}`);
      syncFolder(this.#folder);
    }
    this.#change({ ...nothingSeen, bootstrapNonce: nonce });
    this.reload();
  }

  bootstrapped(nonce: string | null): void {
    this.#change({ bootstrapNonce: nonce });
  }

  /** Only what is on disk counts: a write that fails throws and leaves the facts as they were. */
  #change(change: Partial<DurableFacts>): void {
    const facts = { ...this.#facts, ...change };
    const { fencedEpoch: _barred, ...own } = facts;
    writeDurably(this.#path, `${JSON.stringify(own)}\n`);
    this.#facts = facts;
  }

  /** What another process of this host (the fence command) has written since. */
  reload(): void {
    this.#facts = { ...this.#facts, fencedEpoch: readBar(this.#folder) };
  }
}

function readBar(folder: string): number {
  let highest = 0;
  for (const name of orNull(() => readdirSync(join(folder, 'barred'))) ?? []) {
    if (!/^\d{1,15}$/.test(name))
      throw new Error(`${join(folder, 'barred', name)} is not named after an epoch`);
    highest = Math.max(highest, Number(name));
  }
  return highest;
}

function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function read(path: string): Omit<DurableFacts, 'fencedEpoch'> {
  const text = orNull(() => readFileSync(path, 'utf8'));
  if (text === null) return nothingSeen;
  const value = JSON.parse(text) as Partial<DurableFacts>;
  for (const name of ['highestEpoch', 'dataEpoch'] as const) {
    if (!Number.isSafeInteger(value[name])) throw new Error(`${path}: ${name} is not a whole number`);
  }
  const { receiverEnded = null, bootstrapNonce = null } = value;
  const ended = receiverEnded === null || Number.isSafeInteger(receiverEnded.epoch);
  if (!ended) throw new Error(`${path}: receiverEnded does not name an epoch`);
  if (bootstrapNonce !== null && typeof bootstrapNonce !== 'string') {
    throw new Error(`${path}: bootstrapNonce is not text`);
  }
  return { ...nothingSeen, ...value };
}
