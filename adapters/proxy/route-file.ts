/**
 * What is kept on disk about the route of an endpoint, so that a restarted agent knows by which epoch HAProxy routes. What is remembered
 * counts at once, and clients never wait for the file: one that cannot be written is tried again at each `save`, for as long as it
 * differs. A file that is behind is harmless: the agent knows the newest epoch from its own disk, too.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeAddress } from './haproxy-config.ts';
import { writeWhole } from './kept-process.ts';

/** Whom to route to, by which right. */
export interface Route extends NodeAddress {
  readonly epoch: number;
}

export interface Remembered {
  readonly newestEpoch: number;
  readonly route: Route | null;
}

export class RouteFile {
  readonly #path: string;
  readonly #onFailure: (detail: string) => void;
  #remembered: Remembered;
  #onDisk: string;
  #failing = false;
  #saving: Promise<void> = Promise.resolve();

  private constructor(path: string, remembered: Remembered, onFailure: (detail: string) => void) {
    this.#path = path;
    this.#remembered = remembered;
    this.#onDisk = textOf(remembered);
    this.#onFailure = onFailure;
  }

  /** `onFailure` is told of a write that fails, once until one succeeds. */
  static async open(folder: string, onFailure: (detail: string) => void): Promise<RouteFile> {
    const path = join(folder, 'route.json');
    return new RouteFile(path, await recall(path), onFailure);
  }

  remembered(): Remembered {
    return this.#remembered;
  }

  /** Counts at once; the file follows. */
  remember(remembered: Remembered): void {
    this.#remembered = remembered;
    void this.save();
  }

  /** Resolves when the file has been brought in line with what is remembered, or that has failed once more. Never rejects. */
  save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#write());
    return this.#saving;
  }

  async #write(): Promise<void> {
    const text = textOf(this.#remembered);
    if (text === this.#onDisk) return;
    try {
      await writeWhole(this.#path, text, { mode: 0o600, owner: null });
      this.#onDisk = text;
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#onFailure(error instanceof Error ? error.message : String(error));
      this.#failing = true;
    }
  }
}

const textOf = (remembered: Remembered): string => `${JSON.stringify(remembered)}\n`;

/** A file that is missing or was torn by a power cut tells nothing. */
async function recall(path: string): Promise<Remembered> {
  const nothing: Remembered = { newestEpoch: 0, route: null };
  try {
    const parsed = JSON.parse(await readFile(path, 'utf8')) as Partial<Remembered> | null;
    if (typeof parsed?.newestEpoch !== 'number') return nothing;
    return { newestEpoch: parsed.newestEpoch, route: parsed.route ?? null };
  } catch {
    return nothing;
  }
}
