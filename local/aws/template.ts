/**
 * Reads the stack that CDK synthesised (`cdk.out`) and gives, with every reference resolved, what the embedded
 * runtime plays: tables, functions, state machines, SSM documents and schedules. So the very definitions and
 * environments that would be deployed are what runs. What it does not play is listed, not dropped silently,
 * and an intrinsic it cannot resolve is an error.
 */
import { readFileSync } from 'node:fs';
import { join, resolve as resolvePath } from 'node:path';
import { resolve, type Scope } from './intrinsics.ts';
import { asObject, asString, type JsonObject } from './json-value.ts';
import {
  identityProperties,
  physicalAttribute,
  physicalName,
  physicalRef,
  type ResourceIdentity,
} from './physical-resource.ts';
import {
  type DocumentDefinition,
  type FunctionDefinition,
  type Names,
  type Resource,
  readDocument,
  readFunction,
  readRule,
  readSchedule,
  readStateMachine,
  readTable,
  type ScheduleDefinition,
  type StateMachineDefinition,
  type TableDefinition,
} from './template-resources.ts';

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
  /** The value of `Ref` to a resource; throws where the type is not known. */
  ref(logicalId: string): unknown;
  /** The resources of a type that nobody plays, with every reference resolved; throws when one cannot be. */
  ofType(type: string): readonly { readonly logicalId: string; readonly properties: JsonObject }[];
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
    ref: (logicalId) => names.scope.ref(logicalId),
    ofType(type) {
      return present
        .filter((resource) => resource.type === type)
        .map((resource) => ({
          logicalId: resource.logicalId,
          properties: within(resource, () => names.properties(resource)),
        }));
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
