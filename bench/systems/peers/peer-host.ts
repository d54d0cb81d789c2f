/**
 * One host of a peer: a folder, and the programs that run there under an init of their own (`host-init.py`), which starts them again as
 * systemd would. All of it can be killed at once, as a power cut would, and started again. It ends with the harness, however that ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeResult, succeeded } from '../../../adapters/postgres/host.ts';
import { processTitle, type RunAs, runProgram } from '../../../adapters/process.ts';
import { hostMark, hostProcesses, killHostProcesses } from '../../../local/runtime/process-family.ts';

export interface HostProgram {
  readonly name: string;
  /** The program by its absolute path. */
  readonly argv: readonly [string, ...string[]];
  /** systemd's `RestartSec`, whose default is 100 ms. */
  readonly restartAfterMs: number;
}

export interface PeerHostOptions {
  readonly id: string;
  /** Made when it is missing, and given to `runAs`. */
  readonly folder: string;
  readonly runAs: RunAs | null;
  /** Of every program, beside the few variables that all of them get. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Debian's own interpreter, on which its Patroni runs as well. */
export const initInterpreter = '/usr/bin/python3';
const initScript = fileURLToPath(new URL('host-init.py', import.meta.url));

export class PeerHost {
  readonly id: string;
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly #runAs: RunAs | null;
  #programs: readonly HostProgram[] = [];

  constructor({ id, folder, runAs, env }: PeerHostOptions) {
    this.id = id;
    this.folder = folder;
    this.#runAs = runAs;
    // What pg_autoctl keeps beside the data it keeps in these folders; no program writes to anybody's home.
    const home = join(folder, 'home');
    for (const path of [folder, home]) {
      mkdirSync(path, { recursive: true, mode: 0o755 });
      if (runAs !== null) chownSync(path, runAs.uid, runAs.gid);
    }
    this.env = {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      LANG: 'C.UTF-8',
      HOME: home,
      XDG_CONFIG_HOME: join(home, 'config'),
      XDG_DATA_HOME: join(home, 'data'),
      XDG_RUNTIME_DIR: join(home, 'run'),
      ...env,
      [hostMark]: folder,
    };
  }

  /** Starts these programs; call it once. */
  boot(programs: readonly HostProgram[]): void {
    this.#programs = programs;
    this.bootAgain();
  }

  /** Starts what ran before all of it was killed. */
  bootAgain(): void {
    const file = this.write(
      'init.json',
      JSON.stringify(
        this.#programs.map((program) => ({
          ...program,
          env: this.env,
          logFile: join(this.folder, `${program.name}.log`),
        })),
      ),
    );
    // A copy: an unprivileged user may not be able to enter the checkout.
    const script = this.write('host-init.py', readFileSync(initScript, 'utf8'));
    const log = openSync(join(this.folder, 'init.log'), 'a');
    try {
      const init: ChildProcess = spawn(initInterpreter, ['-I', script, file, String(process.pid)], {
        cwd: this.folder,
        env: { ...this.env },
        stdio: ['ignore', log, log],
        // Ctrl-C ends the harness, which ends the hosts: a terminal's signal must not reach them by itself.
        detached: true,
        ...(this.#runAs === null ? {} : { uid: this.#runAs.uid, gid: this.#runAs.gid }),
      });
      init.on('error', () => undefined);
      init.unref();
    } finally {
      closeSync(log);
    }
  }

  /** Writes a file that only the host's programs may read; says where it is. */
  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    if (this.#runAs !== null) chownSync(path, this.#runAs.uid, this.#runAs.gid);
    return path;
  }

  /** Runs a program of this host to its end, as its user. Throws its last words when it fails. */
  async run(
    argv: readonly string[],
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<string> {
    const result = await runProgram(argv, {
      ...options,
      env: this.env,
      cwd: this.folder,
      runAs: this.#runAs,
    });
    if (succeeded(result)) return result.stdout;
    throw new Error(`${argv.slice(0, 3).join(' ')} on ${this.id}: ${describeResult(result)}`);
  }

  /** Resolves when nothing is left of them. */
  killEverything(): Promise<void> {
    return killHostProcesses(this.folder);
  }

  /** The pids of the host's living processes whose command line is like that. */
  processes(title: RegExp): number[] {
    return hostProcesses(this.folder).filter((pid) => title.test(processTitle(pid)));
  }
}
