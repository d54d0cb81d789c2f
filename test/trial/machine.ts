/** One boot of a root folder under its own systemd (`boot-systemd.sh`), and how it is asked from outside. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pause, run, say } from './trial-host.ts';

export const unit = 'leasehold-agent.service';

export class Machine {
  readonly #child: ReturnType<typeof spawn>;
  readonly ended: Promise<void>;
  readonly #environment: readonly string[];

  constructor(words: readonly string[], log: number, environment: readonly string[]) {
    this.#environment = environment;
    this.#child = spawn(join(import.meta.dirname, 'boot-systemd.sh'), words, { stdio: ['ignore', log, log] });
    this.ended = new Promise((resolve) => this.#child.once('close', () => resolve()));
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** The pid, in this machine's numbers, of its first process: the child of `unshare`. */
  #init(): string {
    const { pid } = this.#child;
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  }

  enter(words: readonly string[]): string[] {
    const within = ['-m', '-p', '-u', '-i', '-C'];
    return ['nsenter', '-t', this.#init(), ...within, 'env', ...this.#environment, ...words];
  }

  /** What it prints; '' when it fails. */
  ask(...words: string[]): string {
    const [file = '', ...rest] = this.enter(words);
    const done = spawnSync(file, rest, { encoding: 'utf8', timeout: 60_000 });
    return done.status === 0 ? done.stdout.trim() : '';
  }

  property(name: string): string {
    return this.ask('systemctl', 'show', '--value', '-p', name, unit);
  }

  run(...words: string[]): Promise<number> {
    return run(this.enter(words));
  }

  isUp(): boolean {
    if (this.#child.exitCode !== null || !existsSync(`/proc/${this.#child.pid}`) || this.#init() === '')
      return false;
    const [file = '', ...rest] = this.enter(['systemctl', 'is-system-running']);
    return /running|degraded/.test(spawnSync(file, rest, { encoding: 'utf8' }).stdout ?? '');
  }
}

/** Says so when it is not within that time. */
export async function until(what: string, isTrue: () => boolean, seconds = 60): Promise<boolean> {
  for (let quarter = 0; quarter < seconds * 4; quarter += 1) {
    if (isTrue()) return true;
    await pause(250);
  }
  say(`not within ${seconds} s: ${what}`);
  return false;
}
