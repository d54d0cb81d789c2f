/**
 * Reads the stack that CDK synthesised (`cdk.out`) and gives, with every reference resolved, what the embedded
 * runtime plays: tables, functions, state machines, SSM documents and schedules. So the very definitions and
 * environments that would be deployed are what runs. What it does not play is listed, not dropped silently,
 * and an intrinsic it cannot resolve is an error.
 */
import { readFileSync } from 'node:fs';
import { join, resolve as resolvePath } from 'node:path';
import { resolve, type Scope } from './intrinsics.ts';
import { asArray, asNumber, asObject, asString, isObject, type JsonObject } from './json-value.ts';
import {
  identityProperties,
  physicalAttribute,
  physicalName,
  physicalRef,
  type ResourceIdentity,
} from './physical-resource.ts';

/** A table as the input of DynamoDB's CreateTable. */
export type TableDefinition = {
  readonly logicalId: string;
  readonly name: string;
  readonly createTable: JsonObject;
  /** The attribute that holds an item's expiry in epoch seconds, where TTL is enabled. */
  readonly ttlAttribute: string | undefined;
};

export type FunctionDefinition = {
  readonly logicalId: string;
  readonly name: string;
  readonly arn: string;
  readonly runtime: string;
  /** `<file>.<export>`, relative to the task root. */
  readonly handler: string;
  /** The asset folder that would be uploaded. */
  readonly taskRoot: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly memoryMb: number;
  readonly reservedConcurrency: number | undefined;
};

export type StateMachineDefinition = {
  readonly logicalId: string;
  readonly name: string;
  readonly arn: string;
  readonly type: 'STANDARD' | 'EXPRESS';
  readonly roleArn: string;
  /** Amazon States Language, substitutions made. */
  readonly definition: string;
};

export type DocumentDefinition = {
  readonly logicalId: string;
  readonly name: string;
  readonly documentType: string;
  readonly content: JsonObject;
};

export type ScheduleDefinition = {
  readonly logicalId: string;
  readonly name: string;
  readonly arn: string;
  /** `rule` (EventBridge rule, whose default input is an event) or `scheduler`. */
  readonly kind: 'rule' | 'scheduler';
  readonly expression: string;
  readonly enabled: boolean;
  /** `input` is JSON text; undefined means the service's default. */
  readonly targets: readonly { readonly arn: string; readonly input: string | undefined }[];
};

export type Stack = {
  readonly stackName: string;
  readonly region: string;
  readonly accountId: string;
  readonly tables: readonly TableDefinition[];
  readonly functions: readonly FunctionDefinition[];
  readonly stateMachines: readonly StateMachineDefinition[];
  readonly documents: readonly DocumentDefinition[];
  readonly schedules: readonly ScheduleDefinition[];
  /** The value of one of the stack's outputs. */
  output(key: string): unknown;
  /** Everything that the embedded runtime does not play. */
  readonly others: readonly { readonly logicalId: string; readonly type: string }[];
};

export type StackOptions = {
  /** The folder that CDK wrote. */
  readonly assemblyFolder: string;
  readonly stackName: string;
  readonly region?: string;
  readonly accountId?: string;
  /** Values of the template's parameters, before their defaults. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Known physical values: `LogicalId` for its Ref, `LogicalId.Attribute` for an attribute. */
  readonly physical?: Readonly<Record<string, string>>;
};

export const localRegion = 'us-east-1';
export const localAccountId = '000000000000';

type Resource = { readonly logicalId: string; readonly type: string; readonly properties: JsonObject };

/**
 * The stack of `options`, resolved.
 *
 * @throws Error when the assembly cannot be read, or holds something that cannot be resolved.
 */
export function readStack(options: StackOptions): Stack {
  const template = readJson(join(options.assemblyFolder, `${options.stackName}.template.json`));
  const assets = readAssets(options);
  const region = options.region ?? localRegion;
  const accountId = options.accountId ?? localAccountId;
  const resources = Object.entries(asObject(template['Resources'] ?? {}, 'Resources')).map(
    ([logicalId, raw]) => {
      const resource = asObject(raw, logicalId);
      return {
        logicalId,
        type: asString(resource['Type'], `${logicalId}.Type`),
        properties: asObject(resource['Properties'] ?? {}, `${logicalId}.Properties`),
        condition: resource['Condition'],
      };
    },
  );
  const names = createScope(options, template, resources, region, accountId);
  const present = resources.filter(
    ({ condition }) => condition === undefined || resolve({ Condition: condition }, names.scope) === true,
  );
  const read = <T>(types: readonly string[], reader: (resource: Resource, names: Names) => T): T[] =>
    present
      .filter(({ type }) => types.includes(type))
      .map((resource) => within(resource, () => reader(resource, names)));
  return {
    stackName: options.stackName,
    region,
    accountId,
    tables: read(['AWS::DynamoDB::Table', 'AWS::DynamoDB::GlobalTable'], readTable),
    functions: read(['AWS::Lambda::Function'], (resource) => readFunction(resource, names, assets)),
    stateMachines: read(['AWS::StepFunctions::StateMachine'], readStateMachine),
    documents: read(['AWS::SSM::Document'], readDocument),
    schedules: [
      ...read(['AWS::Events::Rule'], readRule),
      ...read(['AWS::Scheduler::Schedule'], readSchedule),
    ].filter((schedule) => schedule !== undefined),
    output(key) {
      const outputs = asObject(template['Outputs'] ?? {}, 'Outputs');
      return resolve(asObject(outputs[key], `the output ${key}`)['Value'], names.scope);
    },
    others: present
      .filter(
        ({ type, properties }) =>
          !played.has(type) && !(type === 'AWS::Events::Rule' && properties['ScheduleExpression']),
      )
      .map(({ logicalId, type }) => ({ logicalId, type })),
  };
}

const played = new Set([
  'AWS::DynamoDB::Table',
  'AWS::DynamoDB::GlobalTable',
  'AWS::Lambda::Function',
  'AWS::StepFunctions::StateMachine',
  'AWS::SSM::Document',
  'AWS::Scheduler::Schedule',
]);

type Names = {
  readonly scope: Scope;
  name(logicalId: string): string;
  properties(resource: Resource): JsonObject;
};

function createScope(
  options: StackOptions,
  template: JsonObject,
  resources: readonly Resource[],
  region: string,
  accountId: string,
): Names {
  const byId = new Map(resources.map((resource) => [resource.logicalId, resource]));
  const parameters = asObject(template['Parameters'] ?? {}, 'Parameters');
  const identity = (logicalId: string): ResourceIdentity => {
    const resource = byId.get(logicalId);
    if (resource === undefined) throw new Error(`there is no resource or parameter ${logicalId}`);
    const property = identityProperties(resource.type);
    const own = (key: string | undefined) => {
      const value = key === undefined ? undefined : resource.properties[key];
      return value === undefined ? undefined : asString(resolve(value, scope), `${logicalId}.${key}`);
    };
    return {
      type: resource.type,
      logicalId,
      givenName: own(property.name),
      parent: own(property.parent),
      stackName: options.stackName,
      region,
      accountId,
    };
  };
  const scope: Scope = {
    region,
    accountId,
    stackName: options.stackName,
    mappings: asObject(template['Mappings'] ?? {}, 'Mappings'),
    conditions: asObject(template['Conditions'] ?? {}, 'Conditions'),
    ref(logicalId) {
      const known = options.physical?.[logicalId] ?? options.parameters?.[logicalId];
      if (known !== undefined) return known;
      if (!Object.hasOwn(parameters, logicalId)) return physicalRef(identity(logicalId));
      const parameter = asObject(parameters[logicalId], logicalId);
      if (parameter['Default'] === undefined) throw new Error(`the parameter ${logicalId} has no value`);
      return parameter['Default'];
    },
    attribute(logicalId, attribute) {
      return (
        options.physical?.[`${logicalId}.${attribute}`] ?? physicalAttribute(identity(logicalId), attribute)
      );
    },
  };
  return {
    scope,
    name: (logicalId) => physicalName(identity(logicalId)),
    properties: (resource) => asObject(resolve(resource.properties, scope), resource.logicalId),
  };
}

function readTable(resource: Resource, names: Names): TableDefinition {
  const name = names.name(resource.logicalId);
  const wanted = ['AttributeDefinitions', 'KeySchema', 'GlobalSecondaryIndexes', 'LocalSecondaryIndexes'];
  const picked = Object.fromEntries(wanted.map((key) => [key, resource.properties[key]]));
  const properties = asObject(resolve(picked, names.scope), resource.logicalId);
  const ttl = resolve(resource.properties['TimeToLiveSpecification'], names.scope);
  const createTable: Record<string, unknown> = { TableName: name, BillingMode: 'PAY_PER_REQUEST' };
  for (const key of wanted) if (properties[key] !== undefined) createTable[key] = properties[key];
  for (const key of ['GlobalSecondaryIndexes', 'LocalSecondaryIndexes']) {
    if (properties[key] !== undefined) createTable[key] = asArray(properties[key], key).map(indexDefinition);
  }
  return {
    logicalId: resource.logicalId,
    name,
    createTable,
    ttlAttribute:
      isObject(ttl) && ttl['Enabled'] === true ? asString(ttl['AttributeName'], 'AttributeName') : undefined,
  };
}

/** The part of an index that CreateTable takes; capacity and insights do not matter on demand. */
function indexDefinition(raw: unknown): JsonObject {
  const index = asObject(raw, 'index');
  return { IndexName: index['IndexName'], KeySchema: index['KeySchema'], Projection: index['Projection'] };
}

function readFunction(
  resource: Resource,
  names: Names,
  assets: (bucketKey: string) => string,
): FunctionDefinition {
  const wanted = [
    'Code',
    'Environment',
    'Handler',
    'MemorySize',
    'ReservedConcurrentExecutions',
    'Runtime',
    'Timeout',
  ];
  const picked = Object.fromEntries(wanted.map((key) => [key, resource.properties[key]]));
  const properties = asObject(resolve(picked, names.scope), resource.logicalId);
  const runtime = asString(properties['Runtime'], 'Runtime');
  if (!runtime.startsWith('nodejs')) throw new Error(`the runtime ${runtime} is not played`);
  const code = asObject(properties['Code'], 'Code');
  if (code['S3Key'] === undefined) throw new Error('only functions whose code is an asset are played');
  const variables = asObject(
    asObject(properties['Environment'] ?? {}, 'Environment')['Variables'] ?? {},
    'Variables',
  );
  const reserved = properties['ReservedConcurrentExecutions'];
  return {
    logicalId: resource.logicalId,
    name: names.name(resource.logicalId),
    arn: asString(names.scope.attribute(resource.logicalId, 'Arn'), 'Arn'),
    runtime,
    handler: asString(properties['Handler'], 'Handler'),
    taskRoot: assets(asString(code['S3Key'], 'S3Key')),
    environment: Object.fromEntries(Object.entries(variables).map(([key, value]) => [key, String(value)])),
    timeoutMs: asNumber(properties['Timeout'], 'Timeout', 3) * 1000,
    memoryMb: asNumber(properties['MemorySize'], 'MemorySize', 128),
    reservedConcurrency:
      reserved === undefined ? undefined : asNumber(reserved, 'ReservedConcurrentExecutions', 0),
  };
}

function readStateMachine(resource: Resource, names: Names): StateMachineDefinition {
  const properties = names.properties(resource);
  const raw = properties['DefinitionString'] ?? properties['Definition'];
  if (raw === undefined) throw new Error('a definition outside the template is not played');
  const substitutions = asObject(properties['DefinitionSubstitutions'] ?? {}, 'DefinitionSubstitutions');
  let definition = typeof raw === 'string' ? raw : JSON.stringify(raw);
  for (const [key, value] of Object.entries(substitutions)) {
    definition = definition.replaceAll(`\${${key}}`, () => String(value));
  }
  return {
    logicalId: resource.logicalId,
    name: names.name(resource.logicalId),
    arn: asString(names.scope.ref(resource.logicalId), 'arn'),
    type: properties['StateMachineType'] === 'EXPRESS' ? 'EXPRESS' : 'STANDARD',
    roleArn: asString(properties['RoleArn'] ?? '', 'RoleArn'),
    definition,
  };
}

function readDocument(resource: Resource, names: Names): DocumentDefinition {
  const properties = names.properties(resource);
  const content = properties['Content'];
  return {
    logicalId: resource.logicalId,
    name: names.name(resource.logicalId),
    documentType: asString(properties['DocumentType'] ?? 'Command', 'DocumentType'),
    content: asObject(typeof content === 'string' ? JSON.parse(content) : content, 'Content'),
  };
}

function readRule(resource: Resource, names: Names): ScheduleDefinition | undefined {
  if (resource.properties['ScheduleExpression'] === undefined) return undefined;
  const properties = names.properties(resource);
  return {
    logicalId: resource.logicalId,
    name: names.name(resource.logicalId),
    arn: asString(names.scope.attribute(resource.logicalId, 'Arn'), 'Arn'),
    kind: 'rule',
    expression: asString(properties['ScheduleExpression'], 'ScheduleExpression'),
    enabled: properties['State'] !== 'DISABLED',
    targets: asArray(properties['Targets'], 'Targets').map((target) => readTarget(target)),
  };
}

function readSchedule(resource: Resource, names: Names): ScheduleDefinition {
  const properties = names.properties(resource);
  return {
    logicalId: resource.logicalId,
    name: names.name(resource.logicalId),
    arn: asString(names.scope.attribute(resource.logicalId, 'Arn'), 'Arn'),
    kind: 'scheduler',
    expression: asString(properties['ScheduleExpression'], 'ScheduleExpression'),
    enabled: properties['State'] !== 'DISABLED',
    targets: [readTarget(properties['Target'])],
  };
}

function readTarget(raw: unknown): { arn: string; input: string | undefined } {
  const target = asObject(raw, 'Target');
  for (const key of ['InputPath', 'InputTransformer']) {
    if (target[key] !== undefined) throw new Error(`${key} of a schedule's target is not played`);
  }
  const input = target['Input'];
  return {
    arn: asString(target['Arn'], 'Arn'),
    input: input === undefined ? undefined : asString(input, 'Input'),
  };
}

/** Where an object key of the assets manifest lies on disk. */
function readAssets(options: StackOptions): (objectKey: string) => string {
  const manifest = readJson(join(options.assemblyFolder, `${options.stackName}.assets.json`));
  const folders = new Map<string, string>();
  for (const [id, raw] of Object.entries(asObject(manifest['files'] ?? {}, 'files'))) {
    const file = asObject(raw, id);
    const path = asString(asObject(file['source'], id)['path'], `${id}.source.path`);
    for (const destination of Object.values(asObject(file['destinations'] ?? {}, id))) {
      const key = asString(asObject(destination, id)['objectKey'], `${id}.objectKey`);
      folders.set(key, resolvePath(options.assemblyFolder, path));
    }
  }
  return (objectKey) => {
    const folder = folders.get(objectKey);
    if (folder === undefined) throw new Error(`the asset ${objectKey} is not in the assembly`);
    return folder;
  };
}

function readJson(file: string): JsonObject {
  return asObject(JSON.parse(readFileSync(file, 'utf8')), file);
}

function within<T>(resource: Resource, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Error(`${resource.logicalId} (${resource.type}): ${(error as Error).message}`, {
      cause: error,
    });
  }
}
