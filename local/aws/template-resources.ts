/**
 * The resources of a template that the embedded runtime plays, read from their CloudFormation properties into
 * what each player takes. A property that would change what runs, and that no player knows, is an error.
 */
import { resolve, type Scope } from './intrinsics.ts';
import { asArray, asNumber, asObject, asString, isObject, type JsonObject } from './json-value.ts';

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

export type Resource = { readonly logicalId: string; readonly type: string; readonly properties: JsonObject };

/** How the readers name and resolve what they find. */
export type Names = {
  readonly scope: Scope;
  name(logicalId: string): string;
  properties(resource: Resource): JsonObject;
};

export function readTable(resource: Resource, names: Names): TableDefinition {
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

export function readFunction(
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

export function readStateMachine(resource: Resource, names: Names): StateMachineDefinition {
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

export function readDocument(resource: Resource, names: Names): DocumentDefinition {
  const properties = names.properties(resource);
  const content = properties['Content'];
  return {
    logicalId: resource.logicalId,
    name: names.name(resource.logicalId),
    documentType: asString(properties['DocumentType'] ?? 'Command', 'DocumentType'),
    content: asObject(typeof content === 'string' ? JSON.parse(content) : content, 'Content'),
  };
}

export function readRule(resource: Resource, names: Names): ScheduleDefinition | undefined {
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

export function readSchedule(resource: Resource, names: Names): ScheduleDefinition {
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
