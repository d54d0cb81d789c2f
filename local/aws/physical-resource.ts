/**
 * Gives each resource of a synthesised template the name, the `Ref` and the attributes that CloudFormation
 * would, but deterministically: the same template always yields the same names. A resource type or attribute
 * that is not listed is an error at the moment something refers to it.
 */
import { createHash } from 'node:crypto';

export type ResourceIdentity = {
  readonly type: string;
  readonly logicalId: string;
  /** The name that the template itself gives, resolved; undefined where CloudFormation would invent one. */
  readonly givenName: string | undefined;
  readonly stackName: string;
  readonly region: string;
  readonly accountId: string;
  /** The `Ref` of another resource that is part of this one's identity: the function of a version or alias. */
  readonly parent: string | undefined;
};

type Naming = {
  /** The property that holds an explicit name. */
  readonly property?: string;
  /** The property that names the resource which this one belongs to. */
  readonly parentProperty?: string;
  /** Names are shortened to this many characters. */
  readonly maxLength?: number;
  readonly ref: 'name' | 'arn' | 'id';
  /** The ARN, of which `{name}`, `{region}`, `{account}` and `{parent}` are replaced. */
  readonly arn?: string;
  /** The prefix of an id such as `sg-0123`. */
  readonly idPrefix?: string;
  /** Attributes besides `Arn`: each is the `name`, the `id`, or the `arn`. */
  readonly attributes?: Readonly<Record<string, 'name' | 'id' | 'arn'>>;
};

const regional = (service: string, resource: string) => `arn:aws:${service}:{region}:{account}:${resource}`;
const table: Naming = { property: 'TableName', ref: 'name', arn: regional('dynamodb', 'table/{name}') };

const namings: Readonly<Record<string, Naming>> = {
  'AWS::DynamoDB::Table': table,
  'AWS::DynamoDB::GlobalTable': table,
  'AWS::Lambda::Function': {
    property: 'FunctionName',
    maxLength: 64,
    ref: 'name',
    arn: regional('lambda', 'function:{name}'),
  },
  'AWS::Lambda::Alias': {
    property: 'Name',
    parentProperty: 'FunctionName',
    ref: 'arn',
    arn: '{parent}:{name}',
    attributes: { AliasArn: 'arn' },
  },
  'AWS::Lambda::Version': {
    parentProperty: 'FunctionName',
    ref: 'arn',
    arn: '{parent}:1',
    attributes: { FunctionArn: 'arn' },
  },
  'AWS::StepFunctions::StateMachine': {
    property: 'StateMachineName',
    maxLength: 80,
    ref: 'arn',
    arn: regional('states', 'stateMachine:{name}'),
    attributes: { Name: 'name' },
  },
  'AWS::SSM::Document': { property: 'Name', ref: 'name' },
  'AWS::SSM::Parameter': { property: 'Name', ref: 'name' },
  'AWS::Events::Rule': {
    property: 'Name',
    maxLength: 64,
    ref: 'name',
    arn: regional('events', 'rule/{name}'),
  },
  'AWS::Events::EventBus': { property: 'Name', ref: 'name', arn: regional('events', 'event-bus/{name}') },
  'AWS::Scheduler::Schedule': {
    property: 'Name',
    maxLength: 64,
    ref: 'name',
    arn: regional('scheduler', 'schedule/default/{name}'),
  },
  'AWS::Scheduler::ScheduleGroup': { property: 'Name', maxLength: 64, ref: 'name' },
  'AWS::IAM::Role': {
    property: 'RoleName',
    maxLength: 64,
    ref: 'name',
    arn: 'arn:aws:iam::{account}:role/{name}',
  },
  'AWS::IAM::ManagedPolicy': {
    property: 'ManagedPolicyName',
    ref: 'arn',
    arn: 'arn:aws:iam::{account}:policy/{name}',
  },
  'AWS::IAM::InstanceProfile': {
    property: 'InstanceProfileName',
    ref: 'name',
    arn: 'arn:aws:iam::{account}:instance-profile/{name}',
  },
  'AWS::SNS::Topic': {
    property: 'TopicName',
    ref: 'arn',
    arn: regional('sns', '{name}'),
    attributes: { TopicArn: 'arn', TopicName: 'name' },
  },
  'AWS::KMS::Key': { ref: 'id', arn: regional('kms', 'key/{name}'), idPrefix: 'key-' },
  'AWS::Logs::LogGroup': {
    property: 'LogGroupName',
    ref: 'name',
    arn: regional('logs', 'log-group:{name}:*'),
  },
  'AWS::S3::Bucket': { property: 'BucketName', maxLength: 63, ref: 'name', arn: 'arn:aws:s3:::{name}' },
  'AWS::CloudWatch::Alarm': {
    property: 'AlarmName',
    ref: 'name',
    arn: regional('cloudwatch', 'alarm:{name}'),
  },
  'AWS::SecretsManager::Secret': {
    property: 'Name',
    ref: 'arn',
    arn: regional('secretsmanager', 'secret:{name}'),
  },
  'AWS::EC2::Instance': {
    ref: 'id',
    arn: regional('ec2', 'instance/{name}'),
    idPrefix: 'i-',
    attributes: { InstanceId: 'id' },
  },
  'AWS::EC2::SecurityGroup': { ref: 'id', idPrefix: 'sg-', attributes: { GroupId: 'id', Id: 'id' } },
  'AWS::EC2::VPC': { ref: 'id', idPrefix: 'vpc-', attributes: { VpcId: 'id' } },
  'AWS::EC2::Subnet': { ref: 'id', idPrefix: 'subnet-', attributes: { SubnetId: 'id' } },
};

/** The property of a type that holds its explicit name, and the one that names its parent. */
export function identityProperties(type: string): { name: string | undefined; parent: string | undefined } {
  return { name: namings[type]?.property, parent: namings[type]?.parentProperty };
}

/** The name: the template's own, else stack and logical id, shortened with a hash where AWS limits it. */
export function physicalName(resource: ResourceIdentity): string {
  const naming = knownNaming(resource);
  if (resource.givenName !== undefined) return resource.givenName;
  if (naming.idPrefix !== undefined) return naming.idPrefix + hash(resource, 17);
  const name = `${resource.stackName}-${resource.logicalId}`;
  const maxLength = naming.maxLength ?? 128;
  return name.length <= maxLength ? name : `${name.slice(0, maxLength - 9)}-${hash(resource, 8)}`;
}

/** The value of `Ref` to the resource. */
export function physicalRef(resource: ResourceIdentity): string {
  return knownNaming(resource).ref === 'arn' ? arn(resource) : physicalName(resource);
}

/** The value of `Fn::GetAtt` of the resource. */
export function physicalAttribute(resource: ResourceIdentity, attribute: string): string {
  const naming = knownNaming(resource);
  if (attribute === 'Arn' && naming.arn !== undefined) return arn(resource);
  const kind = naming.attributes?.[attribute];
  if (kind === undefined) {
    throw new Error(`the attribute ${attribute} of ${resource.logicalId} (${resource.type}) is not known`);
  }
  return kind === 'arn' ? arn(resource) : physicalName(resource);
}

function knownNaming(resource: ResourceIdentity): Naming {
  const naming = namings[resource.type];
  if (naming === undefined) {
    throw new Error(`nothing can refer to ${resource.logicalId}: the type ${resource.type} is not known`);
  }
  return naming;
}

function arn(resource: ResourceIdentity): string {
  return (knownNaming(resource).arn ?? '')
    .replaceAll('{name}', physicalName(resource))
    .replaceAll('{region}', resource.region)
    .replaceAll('{account}', resource.accountId)
    .replaceAll('{parent}', parentArn(resource));
}

/** A version or alias may name its function by name or by ARN; its own ARN starts with the function's. */
function parentArn(resource: ResourceIdentity): string {
  if (resource.parent === undefined || resource.parent.startsWith('arn:')) return resource.parent ?? '';
  return `arn:aws:lambda:${resource.region}:${resource.accountId}:function:${resource.parent}`;
}

function hash(resource: ResourceIdentity, length: number): string {
  return createHash('sha256')
    .update(`${resource.stackName}/${resource.logicalId}`)
    .digest('hex')
    .slice(0, length);
}
