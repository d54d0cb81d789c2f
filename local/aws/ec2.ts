/**
 * The few EC2 calls that fencing uses, in EC2's query protocol: describe instances and their security groups,
 * stop, start, reboot and terminate them. What an action does to a host is the instance table's business.
 */
import { AwsError } from './aws-error.ts';
import {
  type Instance,
  type InstanceState,
  type InstanceTable,
  openInstances,
  type StateChange,
} from './ec2-instances.ts';
import type { QueryService } from './server.ts';

/** A host of this machine, as the host driver knows it. */
export type Ec2Host = {
  readonly instanceId: string;
  /** The tag `Name`. */
  readonly name: string;
  readonly privateIp: string;
  /** The state before anything was asked of it; `running` when left out. */
  readonly state?: InstanceState;
  readonly securityGroupIds: readonly string[];
  readonly tags?: Readonly<Record<string, string>>;
};

/** What really happens to a host. */
export type HostDriver = {
  /** Kills every process of the host; resolves when all are gone. A rejection is tried again. */
  stop(instanceId: string, options: { readonly force: boolean }): Promise<void>;
  /** Starts the host as a boot would. */
  start(instanceId: string): Promise<void>;
  /** Puts the groups into force where the driver has a network to do so; recorded only where it is left out. */
  setSecurityGroups?(instanceId: string, securityGroupIds: readonly string[]): Promise<void>;
};

export type SecurityGroup = {
  readonly groupId: string;
  readonly groupName: string;
  readonly description: string;
};

export type Ec2 = QueryService & {
  readonly instances: InstanceTable;
};

export type Ec2Options = {
  readonly folder: string;
  readonly region: string;
  readonly accountId: string;
  readonly hosts: readonly Ec2Host[];
  readonly securityGroups: readonly SecurityGroup[];
  readonly hostDriver: HostDriver;
};

/** Opens the service with the states that its folder holds. */
export function openEc2(options: Ec2Options): Ec2 {
  const instances = openInstances(options.folder, options.hosts, options.hostDriver);
  return {
    instances,
    async handle(action, parameters) {
      const handler = actions[action];
      if (handler === undefined) {
        throw new AwsError('InvalidAction', `The action ${action} is not valid for this web service.`);
      }
      return handler({ options, instances }, parameters);
    },
  };
}

type Context = { readonly options: Ec2Options; readonly instances: InstanceTable };
type Action = (context: Context, parameters: URLSearchParams) => object | Promise<object>;

const actions: Readonly<Record<string, Action>> = {
  DescribeInstances: describeInstances,
  DescribeInstanceStatus: describeInstanceStatus,
  StopInstances: ({ instances }, parameters) =>
    changes(instances.stop(idsForChange(parameters), parameters.get('Force') === 'true')),
  StartInstances: ({ instances }, parameters) => changes(instances.start(idsForChange(parameters))),
  TerminateInstances: ({ instances }, parameters) => changes(instances.terminate(idsForChange(parameters))),
  RebootInstances({ instances }, parameters) {
    instances.reboot(idsForChange(parameters));
    return { return: true };
  },
  ModifyInstanceAttribute: modifyInstanceAttribute,
  DescribeSecurityGroups: describeSecurityGroups,
};

const stateCodes: Readonly<Record<InstanceState, number>> = {
  pending: 0,
  running: 16,
  'shutting-down': 32,
  terminated: 48,
  stopping: 64,
  stopped: 80,
};

const stateXml = (state: InstanceState) => ({ code: stateCodes[state], name: state });
const vpcId = 'vpc-00000000000000001';

/** `InstanceId.1`, `InstanceId.2` and so on. */
function listOf(parameters: URLSearchParams, prefix: string): string[] {
  const values: string[] = [];
  for (let index = 1; parameters.has(`${prefix}.${index}`); index += 1) {
    values.push(parameters.get(`${prefix}.${index}`) ?? '');
  }
  return values;
}

function idsForChange(parameters: URLSearchParams): string[] {
  const ids = listOf(parameters, 'InstanceId');
  if (ids.length === 0) {
    throw new AwsError('MissingParameter', 'The request must contain the parameter InstanceId');
  }
  if (parameters.get('DryRun') === 'true') {
    throw new AwsError('DryRunOperation', 'Request would have succeeded, but DryRun flag is set.', 412);
  }
  return ids;
}

function changes(list: readonly StateChange[]): object {
  const item = list.map(({ instanceId, previous, current }) => ({
    instanceId,
    currentState: stateXml(current),
    previousState: stateXml(previous),
  }));
  return { instancesSet: { item } };
}

type Filter = { readonly name: string; readonly values: readonly string[] };

function filtersOf(parameters: URLSearchParams): Filter[] {
  const filters: Filter[] = [];
  for (let index = 1; parameters.has(`Filter.${index}.Name`); index += 1) {
    const values = listOf(parameters, `Filter.${index}.Value`);
    filters.push({ name: parameters.get(`Filter.${index}.Name`) ?? '', values });
  }
  return filters;
}

/** `*` stands for any characters and `?` for one, as in EC2's filters. */
function matchesAny(value: string | undefined, patterns: readonly string[]): boolean {
  return (
    value !== undefined &&
    patterns.some((pattern) => {
      const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&');
      return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`, 's').test(value);
    })
  );
}

function passes(instance: Instance, { name, values }: Filter): boolean {
  if (name.startsWith('tag:')) return matchesAny(instance.tags[name.slice(4)], values);
  switch (name) {
    case 'tag-key':
      return Object.keys(instance.tags).some((key) => matchesAny(key, values));
    case 'instance-id':
      return matchesAny(instance.instanceId, values);
    case 'instance-state-name':
      return matchesAny(instance.state, values);
    case 'instance-state-code':
      return matchesAny(String(stateCodes[instance.state]), values);
    case 'private-ip-address':
      return matchesAny(instance.privateIp, values);
    case 'instance.group-id':
      return instance.securityGroupIds.some((id) => matchesAny(id, values));
    default:
      throw new AwsError('InvalidParameterValue', `The filter '${name}' is invalid`);
  }
}

function select(instances: InstanceTable, parameters: URLSearchParams): Instance[] {
  const list = instances.list();
  const ids = listOf(parameters, 'InstanceId');
  for (const id of ids) {
    if (!/^i-[0-9a-f]{8,17}$/.test(id))
      throw new AwsError('InvalidInstanceID.Malformed', `Invalid id: "${id}"`);
    if (!list.some(({ instanceId }) => instanceId === id)) {
      throw new AwsError('InvalidInstanceID.NotFound', `The instance ID '${id}' does not exist`);
    }
  }
  const filters = filtersOf(parameters);
  return list.filter(
    (instance) =>
      (ids.length === 0 || ids.includes(instance.instanceId)) &&
      filters.every((filter) => passes(instance, filter)),
  );
}

/** A token is the offset of what follows. */
function page<T>(all: readonly T[], parameters: URLSearchParams): { items: readonly T[]; next: object } {
  const size = Number(parameters.get('MaxResults') ?? 1000);
  const from = Number(parameters.get('NextToken') ?? 0);
  if (!Number.isInteger(from) || from < 0) throw new AwsError('InvalidNextToken', 'The token is invalid.');
  if (!Number.isInteger(size) || size < 1)
    throw new AwsError('InvalidParameterValue', 'MaxResults must be positive');
  const next = from + size < all.length ? { nextToken: String(from + size) } : {};
  return { items: all.slice(from, from + size), next };
}

function describeInstances(context: Context, parameters: URLSearchParams): object {
  const { items, next } = page(select(context.instances, parameters), parameters);
  const reservations = items.map((instance) => ({
    reservationId: instance.instanceId.replace(/^i-/, 'r-'),
    ownerId: context.options.accountId,
    instancesSet: { item: instanceXml(context, instance) },
  }));
  return { reservationSet: { item: reservations }, ...next };
}

function instanceXml({ options }: Context, instance: Instance): object {
  const name = (id: string) => options.securityGroups.find(({ groupId }) => groupId === id)?.groupName ?? id;
  return {
    instanceId: instance.instanceId,
    imageId: 'ami-00000000000000001',
    instanceState: stateXml(instance.state),
    privateDnsName: `ip-${instance.privateIp.replaceAll('.', '-')}.ec2.internal`,
    reason: instance.stateReason,
    instanceType: 'm7g.large',
    launchTime: new Date(instance.launchedAtMs).toISOString(),
    placement: { availabilityZone: `${options.region}a`, tenancy: 'default' },
    vpcId,
    privateIpAddress: instance.privateIp,
    groupSet: { item: instance.securityGroupIds.map((groupId) => ({ groupId, groupName: name(groupId) })) },
    ...(instance.stateReason === ''
      ? {}
      : { stateReason: { code: instance.stateReason.split(':')[0], message: instance.stateReason } }),
    tagSet: { item: Object.entries(instance.tags).map(([key, value]) => ({ key, value })) },
  };
}

/** The machine below is known to work; what is inside a host is not this service's to know. */
function describeInstanceStatus({ options, instances }: Context, parameters: URLSearchParams): object {
  const all = parameters.get('IncludeAllInstances') === 'true';
  const { items, next } = page(
    select(instances, parameters).filter(({ state }) => all || state === 'running'),
    parameters,
  );
  const status = (state: InstanceState, running: string) => ({
    status: state === 'running' ? running : 'not-applicable',
  });
  const item = items.map(({ instanceId, state }) => ({
    instanceId,
    availabilityZone: `${options.region}a`,
    instanceState: stateXml(state),
    systemStatus: status(state, 'ok'),
    instanceStatus: status(state, 'insufficient-data'),
  }));
  return { instanceStatusSet: { item }, ...next };
}

async function modifyInstanceAttribute(
  { options, instances }: Context,
  parameters: URLSearchParams,
): Promise<object> {
  const groups = listOf(parameters, 'GroupId');
  if (groups.length === 0) {
    throw new AwsError(
      'UnsupportedOperation',
      'only the security groups of an instance can be modified here',
    );
  }
  const unknown = groups.find((id) => !options.securityGroups.some(({ groupId }) => groupId === id));
  if (unknown !== undefined) {
    throw new AwsError('InvalidGroup.NotFound', `The security group '${unknown}' does not exist`);
  }
  await instances.setSecurityGroups(parameters.get('InstanceId') ?? '', groups);
  return { return: true };
}

function describeSecurityGroups({ options }: Context, parameters: URLSearchParams): object {
  const ids = listOf(parameters, 'GroupId');
  const known = (id: string) => options.securityGroups.some(({ groupId }) => groupId === id);
  const missing = ids.find((id) => !known(id));
  if (missing !== undefined) {
    throw new AwsError('InvalidGroup.NotFound', `The security group '${missing}' does not exist`);
  }
  const filters = filtersOf(parameters);
  const matches = (group: SecurityGroup) =>
    filters.every(({ name, values }) => {
      if (name === 'group-id') return matchesAny(group.groupId, values);
      if (name === 'group-name') return matchesAny(group.groupName, values);
      throw new AwsError('InvalidParameterValue', `The filter '${name}' is invalid`);
    });
  const found = options.securityGroups.filter(
    (group) => (ids.length === 0 || ids.includes(group.groupId)) && matches(group),
  );
  const { items, next } = page(found, parameters);
  const item = items.map(({ groupId, groupName, description }) => ({
    ownerId: options.accountId,
    groupId,
    groupName,
    groupDescription: description,
    vpcId,
  }));
  return { securityGroupInfo: { item }, ...next };
}
