/**
 * A log file that never grows past its bound: when it is full it becomes `<file>.1`, replacing the one before.
 * Writes are queued, so that a slow disk never holds up an answer; what does not fit the queue is counted and
 * the loss is written down.
 */
import { mkdirSync } from 'node:fs';
import { appendFile, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

export type BoundedLog = {
  write(chunk: string): void;
  /** Resolves when everything written so far is in the file. */
  flush(): Promise<void>;
};

const maxQueuedCharacters = 4 * 1024 * 1024;

/** Opens `file` for appending; it and its predecessor take at most twice `maxBytes`. */
export function openBoundedLog(file: string, maxBytes = 8 * 1024 * 1024): BoundedLog {
  mkdirSync(dirname(file), { recursive: true });
  let queued: string[] = [];
  let queuedCharacters = 0;
  let lostCharacters = 0;
  let writing: Promise<void> | undefined;
  let sizeBytes: number | undefined;

  async function drain(): Promise<void> {
    // One turn of the event loop gathers what is printed line by line.
    await new Promise((resolve) => setImmediate(resolve));
    while (queued.length > 0) {
      const lost = lostCharacters === 0 ? '' : `[${lostCharacters} characters of log lost]\n`;
      const text = lost + queued.join('');
      queued = [];
      queuedCharacters = 0;
      lostCharacters = 0;
      await append(text);
    }
    writing = undefined;
  }

  async function append(text: string): Promise<void> {
    try {
      sizeBytes ??= await stat(file).then(
        ({ size }) => size,
        () => 0,
      );
      if (sizeBytes > 0 && sizeBytes + Buffer.byteLength(text) > maxBytes) {
        await rename(file, `${file}.1`);
        sizeBytes = 0;
      }
      await appendFile(file, text);
      sizeBytes += Buffer.byteLength(text);
    } catch {
      // A full disk must not stop the runtime; the next line that fits says how much is missing.
      lostCharacters += text.length;
      sizeBytes = undefined;
    }
  }

  return {
    write(chunk) {
      if (queuedCharacters + chunk.length > maxQueuedCharacters) {
        lostCharacters += chunk.length;
        return;
      }
      queued.push(chunk);
      queuedCharacters += chunk.length;
      writing ??= drain();
    },
    async flush() {
      while (writing !== undefined) await writing;
    },
  };
}
