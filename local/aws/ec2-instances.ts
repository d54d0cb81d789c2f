/**
 * The instances that play hosts, and their life: running, stopping, stopped and so on, kept on disk. `stopped`
 * and `terminated` are said only after the host driver has reported that all processes of the host are gone,
 * because a fence takes them as proof. An instance whose processes were killed by anyone else stays `running`,
 * as an EC2 instance with a crashed system does.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonFile, writeJsonFile } from '../runtime/json-file.ts';
import { AwsError } from './aws-error.ts';
import type { Ec2Host, HostDriver } from './ec2.ts';
import { createTransitions, type MutableInstance } from './ec2-transitions.ts';

export type InstanceState = 'pending' | 'running' | 'stopping' | 'stopped' | 'shutting-down' | 'terminated';

export type Instance = {
  readonly instanceId: string;
  readonly name: string;
  readonly privateIp: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly state: InstanceState;
  readonly stateReason: string;
  readonly securityGroupIds: readonly string[];
  readonly launchedAtMs: number;
};

export type StateChange = {
  readonly instanceId: string;
  readonly previous: InstanceState;
  readonly current: InstanceState;
};

export type InstanceTable = {
  list(): readonly Instance[];
  /** Each throws AwsError, before anything changes, when one of the instances does not allow it. */
  stop(instanceIds: readonly string[], force: boolean): StateChange[];
  start(instanceIds: readonly string[]): StateChange[];
  reboot(instanceIds: readonly string[]): void;
  terminate(instanceIds: readonly string[]): StateChange[];
  setSecurityGroups(instanceId: string, securityGroupIds: readonly string[]): Promise<void>;
  /** Resolves when no instance is on its way from one state to another. */
  settled(): Promise<void>;
};

type Kept = Pick<Instance, 'state' | 'stateReason' | 'securityGroupIds' | 'launchedAtMs'>;

/** The hosts with the states that `folder` holds; a transition that was under way there goes on. */
export function openInstances(folder: string, hosts: readonly Ec2Host[], driver: HostDriver): InstanceTable {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'instances.json');
  const kept = readJsonFile<Record<string, Kept>>(file) ?? {};
  const instances = new Map(hosts.map((host) => [host.instanceId, instanceOf(host, kept[host.instanceId])]));

  function save(): void {
    const entries = [...instances.values()].map(
      ({ instanceId, state, stateReason, securityGroupIds, launchedAtMs }) => [
        instanceId,
        { state, stateReason, securityGroupIds, launchedAtMs },
      ],
    );
    writeJsonFile(file, { ...kept, ...Object.fromEntries(entries) });
  }

  function enter(instance: MutableInstance, state: InstanceState, reason = ''): void {
    instance.state = state;
    instance.stateReason = reason;
    save();
  }

  const transitions = createTransitions(driver, enter);
  // What a killed runtime was in the middle of is completed by the next one.
  for (const instance of instances.values()) transitions.proceed(instance, true);
  save();

  const select = (ids: readonly string[], verb: string, allowed: readonly InstanceState[]) =>
    requireStates(
      ids.map((id) => requireInstance(instances, id)),
      verb,
      allowed,
    );
  const change = (instance: MutableInstance, state: InstanceState): StateChange => {
    const previous = instance.state;
    enter(instance, state);
    return { instanceId: instance.instanceId, previous, current: state };
  };
  const same = ({ instanceId, state }: Instance): StateChange => ({
    instanceId,
    previous: state,
    current: state,
  });

  return {
    list: () => [...instances.values()],
    stop: (ids, force) =>
      select(ids, 'stopped', ['running', 'stopping', 'stopped']).map((instance) => {
        if (instance.state === 'stopped') return same(instance);
        const result = change(instance, 'stopping');
        transitions.proceed(instance, force);
        return result;
      }),
    start: (ids) =>
      select(ids, 'started', ['running', 'pending', 'stopped']).map((instance) => {
        if (instance.state !== 'stopped') return same(instance);
        const result = change(instance, 'pending');
        transitions.proceed(instance, false);
        return result;
      }),
    reboot(ids) {
      for (const instance of select(ids, 'rebooted', ['running'])) transitions.reboot(instance);
    },
    terminate: (ids) =>
      select(ids, 'terminated', allStates).map((instance) => {
        if (instance.state === 'terminated') return same(instance);
        const result = change(instance, 'shutting-down');
        transitions.proceed(instance, true);
        return result;
      }),
    async setSecurityGroups(instanceId, securityGroupIds) {
      const [instance] = select([instanceId], 'modified', ['pending', 'running', 'stopping', 'stopped']);
      if (instance === undefined) return;
      await driver.setSecurityGroups?.(instanceId, securityGroupIds);
      instance.securityGroupIds = securityGroupIds;
      save();
    },
    settled: transitions.settled,
  };
}

const allStates: readonly InstanceState[] = [
  'pending',
  'running',
  'stopping',
  'stopped',
  'shutting-down',
  'terminated',
];

function instanceOf(host: Ec2Host, kept: Kept | undefined): MutableInstance {
  return {
    instanceId: host.instanceId,
    name: host.name,
    privateIp: host.privateIp,
    tags: { ...host.tags, Name: host.name },
    state: kept?.state ?? host.state ?? 'running',
    stateReason: kept?.stateReason ?? '',
    securityGroupIds: kept?.securityGroupIds ?? host.securityGroupIds,
    launchedAtMs: kept?.launchedAtMs ?? Date.now(),
  };
}

function requireInstance(
  instances: ReadonlyMap<string, MutableInstance>,
  instanceId: string,
): MutableInstance {
  if (!/^i-[0-9a-f]{8,17}$/.test(instanceId)) {
    throw new AwsError('InvalidInstanceID.Malformed', `Invalid id: "${instanceId}"`);
  }
  const instance = instances.get(instanceId);
  if (instance === undefined) {
    throw new AwsError('InvalidInstanceID.NotFound', `The instance ID '${instanceId}' does not exist`);
  }
  return instance;
}

function requireStates(
  found: readonly MutableInstance[],
  verb: string,
  allowed: readonly InstanceState[],
): readonly MutableInstance[] {
  for (const { instanceId, state } of found) {
    if (allowed.includes(state)) continue;
    const why = `The instance '${instanceId}' is not in a state from which it can be ${verb}.`;
    throw new AwsError('IncorrectInstanceState', why);
  }
  return found;
}
