// Evaluates `{% ... %}`: a template is any JSON value of the definition in which such strings may stand at any depth.
// Templates are compiled once per definition. An expression that gives nothing, or something that is no JSON, fails the
// state with States.QueryEvaluationError, as on AWS; it never becomes a silent null.

import jsonata from 'jsonata';
import { QUERY_EVALUATION_ERROR, StateFailure } from './failure.ts';
import type { Json, JsonObject } from './json.ts';
import { AWS_FUNCTIONS } from './jsonata-functions.ts';

/** What an expression can see: `$states`, the variables of its scope and the time. */
export interface Scope {
  states: JsonObject;
  variables: JsonObject;
  nowMs: number;
}

export type Template =
  | { kind: 'constant'; value: Json }
  | { kind: 'dynamic'; evaluate(scope: Scope): Promise<Json> };

/** Steps one evaluation may take. JSONata runs on microtasks: without a bound, endless recursion would stop the process. */
const EVALUATION_STEPS = 200_000;
/** A binding no expression can name, for it starts with a space. */
const BUDGET = ' budget';

const formatNow = jsonata('$fromMillis($at, $picture, $zone)');

/** The JSONata source inside `{% %}`, or undefined when the text is a plain string. */
export function expressionIn(text: string): string | undefined {
  return text.startsWith('{%') && text.endsWith('%}') && text.length >= 4
    ? text.slice(2, -2).trim()
    : undefined;
}

/**
 * Compiles a template. `field` is its place in the state, e.g. `Output`, and names the culprit in errors.
 * Throws JSONata's syntax error when an expression does not parse.
 */
export function compileTemplate(value: Json, field: string): Template {
  if (typeof value === 'string') {
    const source = expressionIn(value);
    return source === undefined ? { kind: 'constant', value } : compileExpression(source, field);
  }
  if (value === null || typeof value !== 'object') return { kind: 'constant', value };
  const isArray = Array.isArray(value);
  const parts = Object.entries(value).map(
    ([key, part]) => [key, compileTemplate(part, isArray ? `${field}[${key}]` : `${field}/${key}`)] as const,
  );
  if (parts.every(([, part]) => part.kind === 'constant')) return { kind: 'constant', value };
  return {
    kind: 'dynamic',
    async evaluate(scope) {
      const entries: [string, Json][] = [];
      for (const [key, part] of parts) entries.push([key, await evaluateTemplate(part, scope)]);
      return isArray ? entries.map(([, part]) => part) : Object.fromEntries(entries);
    },
  };
}

export function evaluateTemplate(template: Template, scope: Scope): Json | Promise<Json> {
  return template.kind === 'constant' ? template.value : template.evaluate(scope);
}

function compileExpression(source: string, field: string): Template {
  const expression = jsonata(source);
  for (const [name, implementation] of Object.entries(AWS_FUNCTIONS)) expression.assign(name, implementation);
  expression.assign('eval', undefined);
  // JSONata calls this hook before each node; its type only admits string names.
  expression.assign(Symbol.for('jsonata.__evaluate_entry') as unknown as string, spendOne);
  const fail: (problem: string) => never = (problem) => {
    const cause = `The JSONata expression '${source}' specified for the field '${field}' ${problem}`;
    throw new StateFailure(QUERY_EVALUATION_ERROR, cause, field);
  };
  return {
    kind: 'dynamic',
    async evaluate(scope) {
      let result: unknown;
      try {
        result = await expression.evaluate(undefined, {
          ...scope.variables,
          states: scope.states,
          millis: () => scope.nowMs,
          now: (picture: unknown, zone: unknown) =>
            formatNow.evaluate(undefined, { at: scope.nowMs, picture, zone }),
          [BUDGET]: { left: EVALUATION_STEPS },
        });
      } catch (error) {
        fail(`threw an error during evaluation. ${describe(error)}`);
      }
      if (result === undefined) fail('returned nothing (undefined).');
      return toJson(result, fail);
    },
  };
}

function spendOne(_node: unknown, _input: unknown, environment: { lookup(name: string): unknown }): void {
  const budget = environment.lookup(BUDGET) as { left: number };
  budget.left -= 1;
  if (budget.left < 0) throw new Error(`Expression took more than ${EVALUATION_STEPS} steps`);
}

function describe(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return typeof code === 'string' ? `${code}: ${String(message)}` : String(message ?? error);
}

/** A copy free of JSONata's marks on arrays and of sharing with the scope; functions and non-numbers are refused. */
function toJson(value: unknown, fail: (problem: string) => never): Json {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : fail('returned a number that JSON cannot express.');
    case 'object': {
      if (value === null) return null;
      if (Array.isArray(value)) return value.map((part) => toJson(part, fail));
      if ('_jsonata_lambda' in value || '_jsonata_function' in value) return fail('returned a function.');
      const entries = Object.entries(value).filter(([, part]) => part !== undefined);
      return Object.fromEntries(entries.map(([key, part]) => [key, toJson(part, fail)]));
    }
    default:
      return fail(`returned a ${typeof value}, which is no JSON.`);
  }
}
