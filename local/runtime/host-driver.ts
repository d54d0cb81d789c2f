/**
 * The hosts of a cluster on one machine: each is a folder with an agent, a worker for Run Command and what these start
 * (PostgreSQL, the guard, HAProxy, PgBouncer). Boots them, stops them, and cuts their power.
 *
 * States of a host: `off` (at first, after `stop`) -> boot -> `on` -> stop -> `off`; kill leads from `on` to `dead`: nothing of
 * it runs, yet EC2 goes on calling it running, until somebody stops it (`off`) or boots it again (`on`).
 */
import { mkdirSync } from 'node:fs';
import { hostProcesses, killHostProcesses } from './process-family.ts';
import { SupervisedProcess, type SupervisedProgram } from './supervised-process.ts';

export type HostPower = 'off' | 'on' | 'dead';

export interface HostPrograms {
  readonly id: string;
  readonly role: 'database' | 'proxy';
  readonly instanceId: string;
  readonly folder: string;
  readonly agent: SupervisedProgram;
  /** Plays the SSM agent; null where nobody sends commands. */
  readonly worker: SupervisedProgram | null;
}

/** The network between hosts, where they have one of their own. */
export interface HostNetwork {
  plug(id: string): Promise<void>;
  /** Nothing passes from or to the host any more, established connections included. */
  unplug(id: string): Promise<void>;
}

/** An agent stops PostgreSQL before it ends: a shutdown checkpoint of a busy server takes a while. */
const agentGraceMs = 25_000;
/** Tells an agent that its host shuts down: SIGTERM would end the agent alone and leave PostgreSQL running. (SIGUSR1 is Node's own.) */
export const hostEndsSignal = 'SIGUSR2';
const workerGraceMs = 2_000;

export class Host {
  readonly id: string;
  readonly role: 'database' | 'proxy';
  readonly instanceId: string;
  readonly folder: string;
  readonly agent: SupervisedProcess;
  readonly worker: SupervisedProcess | null;
  readonly #network: HostNetwork | null;
  #power: HostPower = 'off';
  /** Orders to one host are carried out one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(programs: HostPrograms, onChange: (host: Host) => void, network: HostNetwork | null = null) {
    this.#network = network;
    this.id = programs.id;
    this.role = programs.role;
    this.instanceId = programs.instanceId;
    this.folder = programs.folder;
    this.agent = new SupervisedProcess(programs.agent, () => onChange(this));
    this.worker =
      programs.worker === null ? null : new SupervisedProcess(programs.worker, () => onChange(this));
  }

  get power(): HostPower {
    return this.#power;
  }

  /** Starts agent and worker, or takes over those that an earlier runtime left running. */
  boot(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#power === 'on') return;
      mkdirSync(this.folder, { recursive: true, mode: 0o755 });
      await this.#network?.plug(this.id);
      this.#power = 'on';
      for (const program of [this.agent, this.worker])
        if (program !== null && !(await program.adopt())) program.start();
    });
  }

  /** Shuts down as an operating system does: agent and PostgreSQL end in order, what remains is killed. */
  stop(): Promise<void> {
    return this.#inTurn(async () => {
      await this.agent.stop(hostEndsSignal, agentGraceMs);
      await this.worker?.stop('SIGTERM', workerGraceMs);
      await killHostProcesses(this.folder);
      await this.#network?.unplug(this.id);
      this.#power = 'off';
    });
  }

  /** Cuts the power. As `off` it is known to be stopped (EC2's forced stop), as `dead` nobody knows. */
  async cut(power: 'off' | 'dead'): Promise<void> {
    const cutNow = async () => {
      this.agent.release();
      this.worker?.release();
      this.#power = power;
      await this.#network?.unplug(this.id);
      await killHostProcesses(this.folder);
    };
    // A power cut does not wait for an orderly stop; what a boot in the making still starts is ended in turn.
    await cutNow();
    await this.#inTurn(cutNow);
  }

  /** All processes of this host, whoever started them. */
  processes(): number[] {
    return hostProcesses(this.folder);
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }
}
