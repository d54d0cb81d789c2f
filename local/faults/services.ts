/**
 * Faults of AWS: DynamoDB, Step Functions, Systems Manager, EC2 away from all their clients at once, either refusing connections
 * or taking requests without ever answering; and Step Functions away makes executions stand still. The processes that play
 * the services live on, and what they keep is there when they come back.
 */
import type { AwayMode, ServiceName } from '../aws/away.ts';
import type { ClusterHandle } from '../runtime/cluster-handle.ts';
import type { Fault, Undo } from './fault.ts';
import { findPart, signalAll } from './host-parts.ts';
import { Operator } from './operator.ts';
import { boot } from './processes.ts';

const words: Readonly<Record<AwayMode, string>> = {
  refuse: 'refuses all connections',
  hang: 'takes requests and never answers',
};

const shortNames: Readonly<Record<ServiceName, string>> = {
  dynamodb: 'dynamodb',
  states: 'step-functions',
  ssm: 'run-command',
  ec2: 'ec2',
  lambda: 'lambda',
  secretsmanager: 'secrets-manager',
};

async function away(cluster: ClusterHandle, services: readonly ServiceName[], mode: AwayMode): Promise<Undo> {
  for (const service of services) await cluster.setAway(service, mode);
  return async () => {
    for (const service of services) await cluster.setAway(service, null);
  };
}

function serviceAway(service: ServiceName, mode: AwayMode): Fault {
  return {
    id: `${shortNames[service]}-${mode === 'hang' ? 'hangs' : 'away'}`,
    what: `${shortNames[service]} ${words[mode]}`,
    needs: 'any',
    strikes: 'cluster',
    apply: (cluster) => away(cluster, [service], mode),
  };
}

/** Every service of AWS by itself, in both ways. */
export const serviceFaults: readonly Fault[] = (['dynamodb', 'states', 'ssm', 'ec2'] as const).flatMap(
  (service) => [serviceAway(service, 'refuse'), serviceAway(service, 'hang')],
);

/** Where DynamoDB is away every member must promise: one that cannot means that the primary is fenced, within its deadline. */
export const dynamoDbAwayAndStandbyKilled: Fault = {
  id: 'dynamodb-away-and-standby-killed',
  what: 'everything on a standby is killed, and DynamoDB is away',
  needs: 'any',
  strikes: 'standby',
  async apply(cluster, host) {
    await cluster.killHost(host);
    const undoAway = await away(cluster, ['dynamodb'], 'refuse');
    return async () => {
      await undoAway();
      await boot(cluster, host);
    };
  },
};

/** A killed host of which nobody can get a proof: the lease's own time is what is left. */
export const hostKilledWithoutProof: Fault = {
  id: 'primary-host-killed-without-proof',
  what: 'everything on the primary is killed while Run Command and EC2 are away, so that nobody can prove it',
  needs: 'any',
  strikes: 'primary',
  async apply(cluster, host) {
    const undoAway = await away(cluster, ['ssm', 'ec2'], 'refuse');
    await cluster.killHost(host);
    return async () => {
      await undoAway();
      await boot(cluster, host);
    };
  },
};

/**
 * Somebody sees the primary die and asks for a failover at once: the failover does not wait for the lease's time but for the proof
 * that the old primary is down, from Run Command (its worker lives) or else from EC2.
 */
export const killedAndFailoverAsked: Fault = {
  id: 'primary-killed-failover-asked',
  what: 'agent, guard and PostgreSQL of the primary are killed, its agent stays down, and a failover is asked for at once',
  needs: 'any',
  strikes: 'primary',
  apply: (cluster, host) => killAndAsk(cluster, host, []),
};

export const killedAndFailoverAskedWithoutProof: Fault = {
  id: 'primary-killed-failover-asked-without-proof',
  what: 'the same while Run Command and EC2 are away, so that nobody can prove it: the lease has to run out',
  needs: 'any',
  strikes: 'primary',
  apply: (cluster, host) => killAndAsk(cluster, host, ['ssm', 'ec2']),
};

async function killAndAsk(
  cluster: ClusterHandle,
  host: string,
  withheld: readonly ServiceName[],
): Promise<Undo> {
  const operator = new Operator(cluster);
  const undoAway = await away(cluster, withheld, 'refuse');
  try {
    await cluster.holdAgent(host);
    const rest = (['guard', 'postmaster', 'backends'] as const).flatMap((part) =>
      findPart(cluster, host, part),
    );
    signalAll(rest, 'SIGKILL');
    const answer = await operator.ask('failover', 'the primary was seen to die');
    if (answer !== 'started') throw new Error(`the failover that was asked for was not started: ${answer}`);
  } catch (error) {
    await undoAway();
    await cluster.startAgent(host);
    throw error;
  } finally {
    operator.close();
  }
  return async () => {
    await undoAway();
    await cluster.startAgent(host);
  };
}
