/**
 * The runtime's end of the relay: starts it in the region's namespace, gives it the sockets, starts it anew when it was killed,
 * and ends it. States: `starting` -> `serving` -> (killed) `starting` -> ... -> `closed`; `starting` too often in a minute is
 * given up with a log line, and the hosts are then alone.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Delay } from './delayed-pipe.ts';
import { enter } from './network-plan.ts';
import type { FromRelay, RelayCounts, RelayLink, ToRelay } from './relay.ts';

export interface RelayOptions {
  readonly namespace: string;
  readonly clientAddress: string;
  /** Where hosts find AWS, and the runtime's Unix socket behind it. */
  readonly aws: { readonly host: string; readonly port: number; readonly socketPath: string };
  /** For each port of the machine's loopback the host that answers there, at the same port. */
  readonly ports: readonly { readonly port: number; readonly host: string }[];
  readonly logFile: string;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields?: object) => void;
}

const script = join(dirname(fileURLToPath(import.meta.url)), 'relay.ts');
const loopback = '127.0.0.1';
const readyTimeoutMs = 10_000;
const answerTimeoutMs = 5_000;
const restartDelayMs = 100;
const mostStarts = 20;
const startsWithinMs = 60_000;

export class RelayProcess {
  readonly #options: RelayOptions;
  readonly #delays = new Map<string, Extract<ToRelay, { kind: 'delay' }>>();
  #child: ChildProcess | null = null;
  #closed = false;
  #starts: number[] = [];

  private constructor(options: RelayOptions) {
    this.#options = options;
  }

  /** Resolves once hosts reach AWS and clients reach hosts. Throws when a port is taken, or the program does not start. */
  static async start(options: RelayOptions): Promise<RelayProcess> {
    const relay = new RelayProcess(options);
    try {
      await relay.#start();
      return relay;
    } catch (error) {
      relay.close();
      throw error;
    }
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** From now on data is that late on the link, for one host's address, or for all; a new relay keeps to it too. */
  delay(link: RelayLink, host: string | null, delay: Delay): void {
    const message = { kind: 'delay', link, host, delay } as const;
    if (host === null)
      for (const [key, known] of this.#delays) if (known.link === link) this.#delays.delete(key);
    this.#delays.set(`${link} ${host}`, message);
    this.#send(message);
  }

  async counts(): Promise<Readonly<Record<string, RelayCounts>>> {
    const child = this.#child;
    if (child === null) throw new Error('the relay does not run');
    this.#send({ kind: 'counts' });
    const answer = await answered(child, 'counts', answerTimeoutMs);
    return answer.counts;
  }

  close(): void {
    this.#closed = true;
    const child = this.#child;
    this.#child = null;
    if (child?.connected === true) child.disconnect();
    child?.kill('SIGKILL');
  }

  async #start(): Promise<void> {
    const { namespace, clientAddress, aws, ports, logFile } = this.#options;
    const [program, ...args] = enter(namespace);
    const log = openSync(logFile, 'a', 0o640);
    const child = spawn(program, [...args, process.execPath, script], { stdio: ['ignore', log, log, 'ipc'] });
    closeSync(log);
    child.on('error', () => undefined);
    this.#child = child;
    child.once('exit', () => this.#ended(child));
    const servers: Server[] = [];
    try {
      for (const { port, host } of ports) {
        const server = await listenOnLoopback(port);
        servers.push(server);
        const message: ToRelay = { kind: 'clients', from: clientAddress, to: { host, port } };
        child.send(message, server, () => undefined);
      }
      const ready = answered(child, 'ready', readyTimeoutMs);
      this.#send({ kind: 'aws', listen: { host: aws.host, port: aws.port }, socketPath: aws.socketPath });
      for (const message of this.#delays.values()) this.#send(message);
      await ready;
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    } finally {
      // The relay has sockets of its own by now, for the same ports; whoever came to these meanwhile has to come again.
      for (const server of servers) server.close();
    }
  }

  #send(message: ToRelay): void {
    if (this.#child?.connected === true) this.#child.send(message, () => undefined);
  }

  #ended(child: ChildProcess): void {
    if (this.#closed || this.#child !== child) return;
    this.#child = null;
    const nowMs = performance.now();
    this.#starts = [...this.#starts.filter((atMs) => nowMs - atMs < startsWithinMs), nowMs];
    if (this.#starts.length > mostStarts) {
      this.#options.log('error', 'given up: the relay ends again and again');
      return;
    }
    this.#options.log('warn', 'the relay has ended; it is started again');
    setTimeout(() => {
      if (this.#closed) return;
      // What does not start is ended, and so comes back here.
      this.#start().catch((error: unknown) =>
        this.#options.log('error', 'the relay does not start', { error: String(error) }),
      );
    }, restartDelayMs);
  }
}

function listenOnLoopback(port: number): Promise<Server> {
  const server = createServer((socket) => socket.resetAndDestroy());
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: loopback, port, exclusive: true }, () => resolve(server));
  });
}

function answered<Kind extends FromRelay['kind']>(
  child: ChildProcess,
  kind: Kind,
  timeoutMs: number,
): Promise<Extract<FromRelay, { kind: Kind }>> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => done(new Error('the relay does not answer')), timeoutMs);
    const done = (error: Error) => {
      over();
      reject(error);
    };
    const onExit = () => done(new Error('the relay has ended'));
    const onMessage = (message: FromRelay) => {
      if (message.kind !== kind) return;
      over();
      resolve(message as Extract<FromRelay, { kind: Kind }>);
    };
    const over = () => {
      clearTimeout(timer);
      child.off('exit', onExit).off('message', onMessage);
    };
    child.once('exit', onExit).on('message', onMessage);
  });
}
