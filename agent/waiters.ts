/** Who waits for a condition: asked again at each change, never by a poll, and told when the time is up or nothing will change any more. */
export class Waiters {
  readonly #checks = new Set<() => void>();
  #closed = false;

  /** Resolves when `test` holds or `timeoutMs` has passed; says which. */
  async until(test: () => boolean, timeoutMs: number): Promise<boolean> {
    if (test()) return true;
    if (this.#closed) return false;
    return await new Promise<boolean>((resolve) => {
      const finish = (met: boolean): void => {
        clearTimeout(timer);
        this.#checks.delete(check);
        resolve(met);
      };
      const check = (): void => {
        if (this.#closed) finish(false);
        else if (test()) finish(true);
      };
      const timer = setTimeout(() => finish(test()), timeoutMs);
      this.#checks.add(check);
    });
  }

  /** Something has changed. */
  ask(): void {
    for (const check of [...this.#checks]) check();
  }

  /** Nobody waits any longer, nor from now on. */
  close(): void {
    this.#closed = true;
    this.ask();
  }
}
