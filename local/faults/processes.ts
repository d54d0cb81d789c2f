/**
 * Faults of processes: SIGKILL and SIGSTOP of each program of a host, of several at once, of a whole host, and of the control
 * plane's functions. A killed program is started again by whoever keeps it running in production (here the host driver for
 * agent and worker, the agent for the rest); one that is held down or stopped comes back with the undo.
 */
import { listPids, processTitle, readProcessStatus, sendSignal } from '../../adapters/process.ts';
import type { ClusterHandle } from '../runtime/cluster-handle.ts';
import { type Fault, type FaultRole, NothingToStrike, nothingToUndo, type Undo } from './fault.ts';
import { type FoundProcess, findPart, type HostPart, signalAll } from './host-parts.ts';
import { Operator } from './operator.ts';

const databaseRoles: readonly FaultRole[] = ['primary', 'standby'];
const allRoles: readonly FaultRole[] = ['primary', 'standby', 'proxy'];

/** One program, or several at the same moment. */
interface Parts {
  readonly name: string;
  readonly parts: readonly HostPart[];
  readonly on: readonly FaultRole[];
}

const killable: readonly Parts[] = [
  { name: 'agent', parts: ['agent'], on: allRoles },
  { name: 'guard', parts: ['guard'], on: databaseRoles },
  { name: 'worker', parts: ['worker'], on: databaseRoles },
  { name: 'postmaster', parts: ['postmaster'], on: databaseRoles },
  { name: 'agent-and-postmaster', parts: ['agent', 'postmaster'], on: databaseRoles },
  { name: 'haproxy', parts: ['haproxy'], on: ['proxy'] },
  { name: 'pgbouncer', parts: ['pgbouncer'], on: ['proxy'] },
];

const stoppable: readonly Parts[] = [
  ...killable,
  { name: 'postgres', parts: ['postmaster', 'backends'], on: databaseRoles },
];

function found(cluster: ClusterHandle, host: string, { name, parts }: Parts): FoundProcess[] {
  const processes = parts.flatMap((part) => findPart(cluster, host, part));
  if (processes.length === 0) throw new NothingToStrike(`no ${name} runs on ${host}`);
  return processes;
}

function killed(parts: Parts, strikes: FaultRole): Fault {
  return {
    id: `${strikes}-${parts.name}-killed`,
    what: `SIGKILL of ${parts.parts.join(' and ')} on the ${strikes}`,
    needs: 'any',
    strikes,
    mendsItself: true,
    async apply(cluster, host) {
      signalAll(found(cluster, host, parts), 'SIGKILL');
      return nothingToUndo;
    },
  };
}

function stopped(parts: Parts, strikes: FaultRole): Fault {
  return {
    id: `${strikes}-${parts.name}-stopped`,
    what: `SIGSTOP of ${parts.parts.join(' and ')} on the ${strikes}, SIGCONT later`,
    needs: 'any',
    strikes,
    async apply(cluster, host) {
      return stop(found(cluster, host, parts));
    },
  };
}

function stop(processes: readonly FoundProcess[]): Undo {
  signalAll(processes, 'SIGSTOP');
  return async () => {
    signalAll(processes, 'SIGCONT');
  };
}

/** One backend with a client: PostgreSQL ends all others and recovers. */
const backendKilled: Fault = {
  id: 'primary-backend-killed',
  what: 'SIGKILL of one server process that has a client, on the primary',
  needs: 'any',
  strikes: 'primary',
  mendsItself: true,
  async apply(cluster, host) {
    const clients = findPart(cluster, host, 'backends').filter(({ pid }) =>
      / idle| INSERT| COMMIT/.test(processTitle(pid)),
    );
    const [first] = clients;
    if (first === undefined) throw new NothingToStrike(`no backend with a client runs on ${host}`);
    signalAll([first], 'SIGKILL');
    return nothingToUndo;
  },
};

function agentHeld(strikes: FaultRole): Fault {
  return {
    id: `${strikes}-agent-held`,
    what: `SIGKILL of the agent on the ${strikes}, which is not started again before the undo`,
    needs: 'any',
    strikes,
    async apply(cluster, host) {
      await cluster.holdAgent(host);
      return () => cluster.startAgent(host);
    },
  };
}

/** EC2 goes on calling it running, until a failover has it stopped: then only EC2 starts it again, which is for an operator. */
function hostKilled(strikes: FaultRole): Fault {
  return {
    id: `${strikes}-host-killed`,
    what: `everything on the ${strikes}'s host is killed at once; it is booted later`,
    needs: 'any',
    strikes,
    async apply(cluster, host) {
      await cluster.killHost(host);
      return () => boot(cluster, host);
    },
  };
}

/** As somebody who presses the button, where EC2 has not switched it off. */
export async function boot(cluster: ClusterHandle, host: string): Promise<void> {
  const operator = new Operator(cluster);
  try {
    if ((await operator.instanceState(host)) === 'running') await cluster.bootHost(host);
  } finally {
    operator.close();
  }
}

function hostFrozen(strikes: FaultRole): Fault {
  return {
    id: `${strikes}-host-frozen`,
    what: `SIGSTOP of everything on the ${strikes}'s host, SIGCONT later, as a suspended machine`,
    needs: 'any',
    strikes,
    freezesHost: true,
    async apply(cluster, host) {
      // Run Command's worker freezes too: a proof of fencing cannot come from a machine that stands still.
      return stop(findPart(cluster, host, 'all'));
    },
  };
}

/** Where the guard is stopped too, nothing is left on the host that could end PostgreSQL: two faults, not one. */
export const agentAndGuardStopped: Fault = {
  id: 'primary-agent-and-guard-stopped',
  what: 'SIGSTOP of agent and guard on the primary, SIGCONT later: beyond what one fault is',
  needs: 'any',
  strikes: 'primary',
  freezesHost: true,
  async apply(cluster, host) {
    const parts: Parts = { name: 'agent or guard', parts: ['agent', 'guard'], on: ['primary'] };
    return stop(found(cluster, host, parts));
  },
};

/** The functions of the control plane are the runtime's children; Step Functions sees their invocations fail. */
const functionsKilled: Fault = {
  id: 'functions-killed',
  what: 'SIGKILL of every process that runs a function of the control plane',
  needs: 'any',
  strikes: 'cluster',
  mendsItself: true,
  async apply(cluster) {
    const runtime = cluster.pid();
    for (const pid of listPids()) {
      const isFunction = processTitle(pid).includes('lambda-bootstrap');
      if (isFunction && readProcessStatus(pid)?.parentPid === runtime) sendSignal(pid, 'SIGKILL');
    }
    return nothingToUndo;
  },
};

/** Every single fault of processes. */
export const processFaults: readonly Fault[] = [
  ...killable.flatMap((parts) => parts.on.map((role) => killed(parts, role))),
  ...stoppable.flatMap((parts) => parts.on.map((role) => stopped(parts, role))),
  backendKilled,
  ...allRoles.map(agentHeld),
  ...allRoles.map(hostKilled),
  ...databaseRoles.map(hostFrozen),
  functionsKilled,
];
