/**
 * Evaluates the CloudFormation intrinsic functions of a synthesised template, lazily: only what a resource
 * that we run refers to is resolved. An intrinsic, a parameter or an attribute that is not known here is an
 * error and never ignored, so that nothing runs with a half-resolved name.
 */
import { asArray, asObject, asString, isObject, type JsonObject } from './json-value.ts';

/** Where references lead to: how `Ref`, `Fn::GetAtt` and conditions of one stack are answered. */
export type Scope = {
  readonly region: string;
  readonly accountId: string;
  readonly stackName: string;
  readonly mappings: JsonObject;
  readonly conditions: JsonObject;
  /** The value of `Ref` to a resource or parameter; throws when there is none. */
  ref(logicalId: string): unknown;
  /** The value of an attribute of a resource; throws when it is not known. */
  attribute(logicalId: string, attribute: string): unknown;
};

/** Stands for `AWS::NoValue`: the property that has it is left out. */
const noValue = Symbol('AWS::NoValue');

/** Deeper nesting than any synthesised template has; keeps a circular condition from looping. */
const maxDepth = 200;

/**
 * `value` with every intrinsic replaced.
 *
 * @throws Error naming the intrinsic, reference or attribute that cannot be resolved.
 */
export function resolve(value: unknown, scope: Scope, depth = 0): unknown {
  if (depth > maxDepth) throw new Error('the template nests too deeply, or refers to itself');
  if (Array.isArray(value)) {
    return value.map((item) => resolve(item, scope, depth + 1)).filter((item) => item !== noValue);
  }
  if (!isObject(value)) return value;
  const keys = Object.keys(value);
  const only = keys.length === 1 ? keys[0] : undefined;
  if (only !== undefined && (only === 'Ref' || only === 'Condition' || only.startsWith('Fn::'))) {
    if (only !== 'Condition' || typeof value[only] === 'string') {
      return intrinsic(only, value[only], scope, depth + 1);
    }
  }
  const result: Record<string, unknown> = {};
  for (const key of keys) {
    const resolved = resolve(value[key], scope, depth + 1);
    if (resolved !== noValue) result[key] = resolved;
  }
  return result;
}

function intrinsic(name: string, argument: unknown, scope: Scope, depth: number): unknown {
  const evaluate = (value: unknown) => resolve(value, scope, depth);
  switch (name) {
    case 'Ref':
      return reference(asString(argument, 'Ref'), scope);
    case 'Condition':
      return condition(asString(argument, 'Condition'), scope, depth);
    case 'Fn::GetAtt':
      return getAtt(argument, scope, depth);
    case 'Fn::Sub':
      return substitute(argument, scope, depth);
    case 'Fn::Join': {
      const [delimiter, list] = asArray(argument, name);
      return asArray(evaluate(list), name)
        .map((part) => text(part, name))
        .join(asString(delimiter, name));
    }
    case 'Fn::Split': {
      const [delimiter, source] = asArray(argument, name);
      return text(evaluate(source), name).split(asString(delimiter, name));
    }
    case 'Fn::Select': {
      const [index, list] = asArray(argument, name);
      const chosen = asArray(evaluate(list), name)[Number(evaluate(index))];
      if (chosen === undefined) throw new Error(`Fn::Select: there is no element ${String(index)}`);
      return chosen;
    }
    case 'Fn::GetAZs':
      return ['a', 'b', 'c'].map((zone) => scope.region + zone);
    case 'Fn::Base64':
      return Buffer.from(text(evaluate(argument), name)).toString('base64');
    case 'Fn::FindInMap': {
      const [map, top, second] = asArray(evaluate(argument), name).map((key) => text(key, name));
      const row = isObject(scope.mappings[map ?? ''])
        ? asObject(scope.mappings[map ?? ''], name)[top ?? '']
        : undefined;
      const found = isObject(row) ? row[second ?? ''] : undefined;
      if (found === undefined) throw new Error(`Fn::FindInMap: nothing at ${map}.${top}.${second}`);
      return found;
    }
    case 'Fn::If': {
      const [test, yes, no] = asArray(argument, name);
      return evaluate(condition(asString(test, name), scope, depth) ? yes : no);
    }
    case 'Fn::Equals': {
      const [left, right] = asArray(evaluate(argument), name);
      return text(left, name) === text(right, name);
    }
    case 'Fn::And':
      return asArray(evaluate(argument), name).every((item) => item === true);
    case 'Fn::Or':
      return asArray(evaluate(argument), name).some((item) => item === true);
    case 'Fn::Not':
      return asArray(evaluate(argument), name)[0] !== true;
    default:
      throw new Error(`the intrinsic ${name} is not known to the embedded runtime`);
  }
}

function condition(name: string, scope: Scope, depth: number): boolean {
  if (!Object.hasOwn(scope.conditions, name)) throw new Error(`there is no condition ${name}`);
  return resolve(scope.conditions[name], scope, depth) === true;
}

function reference(name: string, scope: Scope): unknown {
  switch (name) {
    case 'AWS::Region':
      return scope.region;
    case 'AWS::AccountId':
      return scope.accountId;
    case 'AWS::Partition':
      return 'aws';
    case 'AWS::URLSuffix':
      return 'amazonaws.com';
    case 'AWS::StackName':
      return scope.stackName;
    case 'AWS::StackId':
      return `arn:aws:cloudformation:${scope.region}:${scope.accountId}:stack/${scope.stackName}/local`;
    case 'AWS::NotificationARNs':
      return [];
    case 'AWS::NoValue':
      return noValue;
    default:
      if (name.startsWith('AWS::')) throw new Error(`the pseudo parameter ${name} is not known`);
      return scope.ref(name);
  }
}

function getAtt(argument: unknown, scope: Scope, depth: number): unknown {
  if (typeof argument === 'string') {
    const dot = argument.indexOf('.');
    return scope.attribute(argument.slice(0, dot), argument.slice(dot + 1));
  }
  const [logicalId, attribute] = asArray(argument, 'Fn::GetAtt');
  return scope.attribute(
    asString(logicalId, 'Fn::GetAtt'),
    asString(resolve(attribute, scope, depth), 'Fn::GetAtt'),
  );
}

function substitute(argument: unknown, scope: Scope, depth: number): string {
  const [template, variables] = typeof argument === 'string' ? [argument, {}] : asArray(argument, 'Fn::Sub');
  const own = asObject(variables ?? {}, 'Fn::Sub');
  return asString(template, 'Fn::Sub').replace(/\$\{([^}]*)\}/g, (_, name: string) => {
    if (name.startsWith('!')) return `\${${name.slice(1)}}`;
    const key = name.trim();
    if (Object.hasOwn(own, key)) return text(resolve(own[key], scope, depth), 'Fn::Sub');
    const value = key.includes('.') ? getAtt(key, scope, depth) : reference(key, scope);
    return text(value, 'Fn::Sub');
  });
}

function text(value: unknown, where: string): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new Error(`${where} needs a string, not ${JSON.stringify(value) ?? String(value)}`);
}
