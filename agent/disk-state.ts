/**
 * The few facts that must survive this host's crash: the highest epoch it has seen, the epoch at which it is barred from
 * running a primary, which epoch its data belongs to, and for which operation it ended its WAL receiver. Each change is
 * on disk (fsync, rename, fsync of the folder) before it counts.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
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

/** Writes `content` so that after a crash either the old or the new file is there, whole. */
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
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

export class DiskState {
  readonly #path: string;
  /** A file of its own: the fence command writes it while an agent may be writing the other. */
  readonly #barPath: string;
  #facts: DurableFacts;

  /** `folder` is made where missing. Throws when the file is there and cannot be understood: never guess a fence. */
  constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#path = join(folder, 'history.json');
    this.#barPath = join(folder, 'barred-epoch');
    this.#facts = this.#read();
  }

  facts(): DurableFacts {
    return this.#facts;
  }

  sawEpoch(epoch: number): void {
    if (epoch > this.#facts.highestEpoch) this.#change({ highestEpoch: epoch });
  }

  /** This host may run no primary at `epoch` or below from now on. */
  bar(epoch: number): void {
    if (epoch > readBar(this.#barPath)) writeDurably(this.#barPath, `${epoch}\n`);
    this.reload();
  }

  dataBelongsTo(epoch: number): void {
    if (epoch !== this.#facts.dataEpoch) this.#change({ dataEpoch: epoch });
  }

  endedReceiver(ended: DurableFacts['receiverEnded']): void {
    this.#change({ receiverEnded: ended });
  }

  bootstrapped(nonce: string | null): void {
    this.#change({ bootstrapNonce: nonce });
  }

  #change(change: Partial<DurableFacts>): void {
    this.#facts = { ...this.#facts, ...change };
    const { fencedEpoch: _barred, ...own } = this.#facts;
    writeDurably(this.#path, `${JSON.stringify(own)}\n`);
  }

  #read(): DurableFacts {
    return { ...read(this.#path), fencedEpoch: readBar(this.#barPath) };
  }

  /** What another process of this host (the fence command) has written since. */
  reload(): void {
    this.#facts = { ...this.#facts, fencedEpoch: readBar(this.#barPath) };
  }
}

function readBar(path: string): number {
  const text = readOrNull(path);
  if (text === null) return 0;
  const epoch = Number.parseInt(text, 10);
  if (!Number.isSafeInteger(epoch) || epoch < 0) throw new Error(`${path} does not hold an epoch: ${text}`);
  return epoch;
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function read(path: string): Omit<DurableFacts, 'fencedEpoch'> {
  const text = readOrNull(path);
  if (text === null) return nothingSeen;
  const value = JSON.parse(text) as Partial<DurableFacts>;
  for (const name of ['highestEpoch', 'dataEpoch'] as const) {
    if (!Number.isSafeInteger(value[name])) throw new Error(`${path}: ${name} is not a whole number`);
  }
  return { ...nothingSeen, ...value };
}
