/**
 * SSM documents of schema 2.2 with shell script steps: what one declares, which parameters a command may pass,
 * and the scripts that result. A parameter that the document would refuse in AWS is refused here, because the
 * allowed patterns are what keeps a parameter from becoming shell code.
 */
import { AwsError } from './aws-error.ts';
import { asArray, asObject, asString, isObject, type JsonObject } from './json-value.ts';
import type { DocumentDefinition } from './template-resources.ts';

/** One step of a command, as the worker runs it. */
export type ScriptStep = {
  readonly name: string;
  readonly script: string;
  readonly timeoutSeconds: number;
  readonly workingDirectory: string | undefined;
  /** What follows a failure: the next step, the end as a failure, or the end as a success. */
  readonly onFailure: 'continue' | 'exit' | 'successAndExit';
  /** Runs whatever happened before it. */
  readonly isFinally: boolean;
  /** Parameters that are passed as variables rather than written into the script. */
  readonly environment: Readonly<Record<string, string>>;
};

type Declaration = {
  readonly type: string;
  readonly default: unknown;
  readonly allowedValues: readonly string[] | undefined;
  readonly allowedPattern: RegExp | undefined;
  readonly minChars: number;
  readonly maxChars: number;
  readonly minItems: number;
  readonly maxItems: number;
  readonly asVariable: boolean;
};

export type SsmDocument = {
  readonly name: string;
  readonly documentType: string;
  readonly content: JsonObject;
  readonly description: string;
  readonly parameters: ReadonlyMap<string, Declaration>;
};

type Value = string | readonly string[];

/** AWS's default and largest bound of a step: an hour and two days. */
const defaultTimeoutSeconds = 3600;
const maxTimeoutSeconds = 172_800;

/** Reads a document. Throws Error for what the embedded runtime cannot run. */
export function parseDocument(definition: DocumentDefinition): SsmDocument {
  const { name, documentType, content } = definition;
  if (content['schemaVersion'] !== '2.2') throw new Error(`document ${name}: only schema 2.2 is played`);
  const declared = Object.entries(asObject(content['parameters'] ?? {}, `${name}.parameters`));
  const parameters = new Map(
    declared.map(([key, raw]) => [key, parseDeclaration(asObject(raw, key), `${name}.${key}`)]),
  );
  const document = {
    name,
    documentType,
    content,
    description: asString(content['description'] ?? '', `${name}.description`),
    parameters,
  };
  for (const raw of asArray(content['mainSteps'], `${name}.mainSteps`)) {
    const step = asObject(raw, `${name}.mainSteps`);
    if (step['action'] !== 'aws:runShellScript')
      throw new Error(`document ${name}: only aws:runShellScript is played`);
    const unknown = referencesOf(step['inputs']).find((reference) => !parameters.has(reference));
    if (unknown !== undefined)
      throw new Error(`document ${name} refers to {{ ${unknown} }}, which it does not declare`);
  }
  return document;
}

function parseDeclaration(raw: JsonObject, where: string): Declaration {
  const type = asString(raw['type'], `${where}.type`);
  if (!['String', 'StringList', 'Boolean', 'Integer'].includes(type)) {
    throw new Error(`${where}: a parameter of type ${type} is not played`);
  }
  const pattern = raw['allowedPattern'];
  const values = raw['allowedValues'];
  return {
    type,
    default: raw['default'],
    allowedValues: values === undefined ? undefined : asArray(values, where).map(String),
    // AWS wants the whole value to match, with or without anchors.
    allowedPattern: pattern === undefined ? undefined : new RegExp(`^(?:${asString(pattern, where)})$`),
    minChars: Number(raw['minChars'] ?? 0),
    maxChars: Number(raw['maxChars'] ?? Number.POSITIVE_INFINITY),
    minItems: Number(raw['minItems'] ?? 0),
    maxItems: Number(raw['maxItems'] ?? Number.POSITIVE_INFINITY),
    asVariable: raw['interpolationType'] === 'ENV_VAR',
  };
}

/**
 * The steps of a command with these parameters, each a list of strings as the API has them.
 *
 * @throws AwsError InvalidParameters when one is undeclared, missing or not allowed.
 */
export function renderSteps(document: SsmDocument, given: JsonObject): ScriptStep[] {
  const values = parameterValues(document, given);
  const variables: Record<string, string> = {};
  for (const [key, { asVariable }] of document.parameters) {
    if (asVariable) variables[`SSM_${key}`] = text(values.get(key) ?? '');
  }
  const substitutable = new Map(
    [...values].filter(([key]) => document.parameters.get(key)?.asVariable !== true),
  );
  const steps = asArray(document.content['mainSteps'], 'mainSteps').map((step) => asObject(step, 'step'));
  return steps
    .filter(({ precondition }) => runsOnLinux(precondition))
    .map((step) => renderStep(step, substitutable, variables));
}

function renderStep(
  step: JsonObject,
  values: ReadonlyMap<string, Value>,
  environment: Readonly<Record<string, string>>,
): ScriptStep {
  const inputs = asObject(step['inputs'] ?? {}, 'inputs');
  const lines = (
    Array.isArray(inputs['runCommand']) ? inputs['runCommand'] : [inputs['runCommand'] ?? '']
  ).flatMap((line) => substituteLine(asString(line, 'runCommand'), values));
  const timeout = Number(substitute(String(inputs['timeoutSeconds'] ?? defaultTimeoutSeconds), values));
  if (!Number.isInteger(timeout) || timeout < 1 || timeout > maxTimeoutSeconds) {
    throw new AwsError(
      'InvalidParameters',
      `timeoutSeconds must be a whole number from 1 to ${maxTimeoutSeconds}`,
    );
  }
  const workingDirectory = substitute(String(inputs['workingDirectory'] ?? ''), values);
  const onFailure = step['onFailure'] ?? inputs['onFailure'];
  return {
    name: asString(step['name'], 'name'),
    script: `${lines.join('\n')}\n`,
    timeoutSeconds: timeout,
    workingDirectory: workingDirectory === '' ? undefined : workingDirectory,
    onFailure: onFailure === 'exit' || onFailure === 'successAndExit' ? onFailure : 'continue',
    isFinally: (step['finallyStep'] ?? inputs['finallyStep']) === true,
    environment,
  };
}

function parameterValues(document: SsmDocument, given: JsonObject): Map<string, Value> {
  for (const key of Object.keys(given)) {
    if (!document.parameters.has(key)) {
      throw new AwsError(
        'InvalidParameters',
        `document ${document.name} does not support parameters: ${key}`,
      );
    }
  }
  const values = new Map<string, Value>();
  for (const [key, declaration] of document.parameters) {
    const raw = given[key] ?? declaration.default;
    if (raw === undefined) throw new AwsError('InvalidParameters', `Parameter "${key}" requires a value.`);
    values.set(key, checkedValue(key, declaration, raw));
  }
  return values;
}

/** The API gives every value as a list of strings, a document's default is of the declared type. */
function checkedValue(key: string, declaration: Declaration, raw: unknown): Value {
  const items = (Array.isArray(raw) ? raw : [raw]).map((item) =>
    typeof item === 'string' ? item : JSON.stringify(item),
  );
  const refuse = (why: string) => new AwsError('InvalidParameters', `Parameter "${key}" ${why}.`);
  if (declaration.type === 'StringList') {
    if (items.length < declaration.minItems) throw refuse(`needs at least ${declaration.minItems} items`);
    if (items.length > declaration.maxItems) throw refuse(`takes at most ${declaration.maxItems} items`);
  } else if (items.length !== 1) {
    throw refuse('takes exactly one value');
  }
  for (const item of items) {
    if (declaration.allowedValues !== undefined && !declaration.allowedValues.includes(item)) {
      throw refuse(`has the value "${item}", which is not one of ${declaration.allowedValues.join(', ')}`);
    }
    if (declaration.allowedPattern !== undefined && !declaration.allowedPattern.test(item)) {
      throw refuse(`has the value "${item}", which does not match ${declaration.allowedPattern.source}`);
    }
    if (item.length < declaration.minChars || item.length > declaration.maxChars) {
      throw refuse(
        `has ${item.length} characters, outside of ${declaration.minChars} to ${declaration.maxChars}`,
      );
    }
    if (declaration.type === 'Boolean' && item !== 'true' && item !== 'false')
      throw refuse('must be true or false');
    if (declaration.type === 'Integer' && !/^-?\d+$/.test(item)) throw refuse('must be a whole number');
  }
  return declaration.type === 'StringList' ? items : (items[0] ?? '');
}

const reference = /\{\{\s*([A-Za-z0-9_-]+)\s*\}\}/g;

/** A line that is nothing but a list becomes that list's lines. */
function substituteLine(line: string, values: ReadonlyMap<string, Value>): readonly string[] {
  const only = /^\s*\{\{\s*([A-Za-z0-9_-]+)\s*\}\}\s*$/.exec(line)?.[1];
  const value = only === undefined ? undefined : values.get(only);
  return Array.isArray(value) ? value : [substitute(line, values)];
}

/** One pass: what a value contains is never substituted again. */
function substitute(source: string, values: ReadonlyMap<string, Value>): string {
  return source.replace(reference, (whole, key: string) => {
    const value = values.get(key);
    return value === undefined ? whole : text(value);
  });
}

function text(value: Value): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function referencesOf(value: unknown): string[] {
  if (typeof value === 'string') return [...value.matchAll(reference)].map((match) => match[1] ?? '');
  if (Array.isArray(value)) return value.flatMap(referencesOf);
  return isObject(value) ? Object.values(value).flatMap(referencesOf) : [];
}

function runsOnLinux(precondition: unknown): boolean {
  if (!isObject(precondition)) return true;
  const [left, right] = asArray(precondition['StringEquals'], 'StringEquals').map(String);
  return left === 'platformType'
    ? right === 'Linux'
    : right === 'platformType'
      ? left === 'Linux'
      : left === right;
}
