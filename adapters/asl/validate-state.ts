// The fields of each state type, in one table: a field that is not in its type's row does not exist. The check beside a
// field reports what is wrong with its value, down into each expression.

import { isObject, type Json, type JsonObject } from './json.ts';
import { checkTemplate, expressionOr, type TemplateChecks } from './validate-template.ts';

export interface StateChecks extends TemplateChecks {
  resources: RegExp;
  /** Variables of enclosing blocks, which this block may read but not assign. */
  outer: ReadonlySet<string>;
  checkBlock(block: JsonObject, at: string, mode: 'branch' | 'processor'): void;
}

type FieldCheck = (value: Json, at: string, checks: StateChecks, state: JsonObject) => void;

const JSONPATH_FIELDS = new Set(
  `InputPath OutputPath ResultPath ResultSelector Parameters Result ItemsPath MaxConcurrencyPath SecondsPath
  TimestampPath TimeoutSecondsPath HeartbeatSecondsPath ErrorPath CausePath`.split(/\s+/),
);
const INPUT = new Set(['input', 'context']);
const RESULT = new Set([...INPUT, 'result']);
const CAUGHT = new Set([...INPUT, 'errorOutput']);
const VARIABLE_NAME = /^\p{L}[\p{L}\p{N}_]{0,79}$/u;
const LAMBDA_ARGUMENTS = ['FunctionName', 'Payload'];
const WILDCARDS = new Set(
  `States.ALL States.TaskFailed States.Timeout States.HeartbeatTimeout States.Permissions States.DataLimitExceeded
  States.Runtime States.QueryEvaluationError States.BranchFailed States.NoChoiceMatched States.ItemReaderFailed
  States.ResultWriterFailed States.ExceedToleratedFailureThreshold States.Http.Socket`.split(/\s+/),
);

const text: FieldCheck = (value, at, { report }) => {
  if (typeof value !== 'string') report(at, 'must be a string');
};
const template =
  (members: ReadonlySet<string>): FieldCheck =>
  (value, at, checks) =>
    checkTemplate(value, at, members, checks);
const integer = (least: number, most: number): FieldCheck =>
  expressionOr(
    INPUT,
    `an integer from ${least} to ${most}`,
    (value) => Number.isInteger(value) && Number(value) >= least && Number(value) <= most,
  );
const string = expressionOr(INPUT, 'a string', (value) => typeof value === 'string');

const COMMON: Readonly<Record<string, FieldCheck>> = {
  Type: () => {},
  Comment: text,
  QueryLanguage: (value, at, { report }) => {
    if (value !== 'JSONata') report(at, "'QueryLanguage' can only be 'JSONata'");
  },
};
const TRANSITION: Readonly<Record<string, FieldCheck>> = {
  Next: text,
  End: (value, at, { report }) => {
    if (value !== true) report(at, 'End can only be true');
  },
};
const assignOf =
  (members: ReadonlySet<string>): FieldCheck =>
  (value, at, checks) => {
    if (!isObject(value)) return checks.report(at, 'must be an object');
    for (const name of Object.keys(value)) {
      if (name === 'states')
        checks.report(`${at}/${name}`, "The reserved variable 'states' cannot be assigned");
      else if (!VARIABLE_NAME.test(name)) checks.report(`${at}/${name}`, `'${name}' is no variable name`);
      if (checks.outer.has(name))
        checks.report(`${at}/${name}`, `'${name}' is a variable of an enclosing scope`);
    }
    checkTemplate(value, at, members, checks);
  };
const results = (members: ReadonlySet<string>): Readonly<Record<string, FieldCheck>> => ({
  Output: template(members),
  Assign: assignOf(members),
});
const RECOVERY: Readonly<Record<string, FieldCheck>> = {
  Retry: (value, at, checks) => checkRules(value, at, checks, RETRIER, ['ErrorEquals']),
  Catch: (value, at, checks) => checkRules(value, at, checks, CATCHER, ['ErrorEquals', 'Next']),
};
const errorNames: FieldCheck = (value, at, { report }) => {
  if (!Array.isArray(value) || value.length === 0) return report(at, 'must be a list of error names');
  for (const name of value) {
    if (typeof name !== 'string') report(at, 'an error name must be a string');
    else if (name.startsWith('States.') && !WILDCARDS.has(name))
      report(at, `There is no error name '${name}'`);
  }
  if (value.includes('States.ALL') && value.length > 1) report(at, 'States.ALL must stand alone');
};
const number =
  (what: string, valid: (value: number) => boolean): FieldCheck =>
  (value, at, { report }) => {
    if (typeof value !== 'number' || !valid(value)) report(at, `must be ${what}`);
  };
const RETRIER: Readonly<Record<string, FieldCheck>> = {
  Comment: text,
  ErrorEquals: errorNames,
  IntervalSeconds: number(
    'an integer from 1 to 99999999',
    (n) => Number.isInteger(n) && n >= 1 && n <= 99_999_999,
  ),
  MaxAttempts: number(
    'an integer from 0 to 99999999',
    (n) => Number.isInteger(n) && n >= 0 && n <= 99_999_999,
  ),
  BackoffRate: number('a number of at least 1', (n) => n >= 1),
  MaxDelaySeconds: number(
    'an integer from 1 to 31622399',
    (n) => Number.isInteger(n) && n >= 1 && n <= 31_622_399,
  ),
  JitterStrategy: (value, at, { report }) => {
    if (value !== 'FULL' && value !== 'NONE') report(at, "must be 'FULL' or 'NONE'");
  },
};
const CATCHER: Readonly<Record<string, FieldCheck>> = {
  Comment: text,
  ErrorEquals: errorNames,
  Next: text,
  ...results(CAUGHT),
};
const CHOICE_RULE: Readonly<Record<string, FieldCheck>> = {
  Comment: text,
  Condition: expressionOr(INPUT, 'an expression', () => false),
  Next: text,
  ...results(INPUT),
};

interface StateType {
  fields: Readonly<Record<string, FieldCheck>>;
  required?: readonly string[];
}

const STATE_TYPES: Readonly<Record<string, StateType>> = {
  Pass: { fields: { ...COMMON, ...TRANSITION, ...results(INPUT) } },
  Succeed: { fields: { ...COMMON, Output: template(INPUT) } },
  Fail: { fields: { ...COMMON, Error: string, Cause: string } },
  Choice: {
    fields: {
      ...COMMON,
      ...results(INPUT),
      Choices: (value, at, checks) => checkRules(value, at, checks, CHOICE_RULE, ['Condition', 'Next']),
      Default: text,
    },
    required: ['Choices'],
  },
  Wait: {
    fields: {
      ...COMMON,
      ...TRANSITION,
      ...results(INPUT),
      Seconds: integer(0, 99_999_999),
      Timestamp: expressionOr(INPUT, 'an RFC 3339 time', isTimestamp),
    },
  },
  Task: {
    fields: {
      ...COMMON,
      ...TRANSITION,
      ...results(RESULT),
      ...RECOVERY,
      Resource: (value, at, { report, resources }) => {
        if (typeof value !== 'string' || !resources.test(value))
          report(at, `Nothing here serves the resource '${value}'`);
      },
      Arguments: (value, at, checks, state) => {
        checkTemplate(value, at, INPUT, checks);
        if (String(state.Resource).includes(':lambda:invoke')) checkLambdaArguments(value, at, checks);
      },
      TimeoutSeconds: integer(1, 99_999_999),
      HeartbeatSeconds: integer(1, 99_999_999),
    },
    required: ['Resource'],
  },
  Parallel: {
    fields: {
      ...COMMON,
      ...TRANSITION,
      ...results(RESULT),
      ...RECOVERY,
      Arguments: template(INPUT),
      Branches: (value, at, checks) => {
        if (!Array.isArray(value) || value.length === 0)
          return checks.report(at, 'must be a list of branches');
        for (const [index, branch] of value.entries()) {
          if (isObject(branch)) checks.checkBlock(branch, `${at}[${index}]`, 'branch');
          else checks.report(`${at}[${index}]`, 'must be an object');
        }
      },
    },
    required: ['Branches'],
  },
  Map: {
    fields: {
      ...COMMON,
      ...TRANSITION,
      ...results(RESULT),
      ...RECOVERY,
      Items: (value, at, checks) => {
        if (!Array.isArray(value)) return expressionOr(INPUT, 'a list', () => false)(value, at, checks);
        checkTemplate(value, at, INPUT, checks);
      },
      ItemSelector: template(INPUT),
      MaxConcurrency: integer(0, 99_999_999),
      ItemProcessor: (value, at, checks) => {
        if (!isObject(value)) return checks.report(at, 'must be an object');
        const config = value.ProcessorConfig;
        if (
          config !== undefined &&
          !(isObject(config) && Object.keys(config).join() === 'Mode' && config.Mode === 'INLINE')
        ) {
          checks.report(`${at}/ProcessorConfig`, "Only the mode 'INLINE' is supported");
        }
        checks.checkBlock(value, at, 'processor');
      },
    },
    required: ['ItemProcessor'],
  },
};

/** Reports every problem of one state; transitions between states are checked elsewhere. */
export function checkState(state: JsonObject, at: string, checks: StateChecks): void {
  const { Type: type } = state;
  const known = typeof type === 'string' && Object.hasOwn(STATE_TYPES, type) ? STATE_TYPES[type] : undefined;
  if (known === undefined) {
    checks.report(`${at}/Type`, `There is no state type '${String(type)}'`);
    return;
  }
  checkFields(state, at, checks, known.fields, known.required ?? []);
  if ('Next' in known.fields && (state.Next === undefined) === (state.End === undefined)) {
    checks.report(at, "Exactly one of 'Next' and 'End' is required");
  }
  if (type === 'Wait' && (state.Seconds === undefined) === (state.Timestamp === undefined)) {
    checks.report(at, "Exactly one of 'Seconds' and 'Timestamp' is required");
  }
  const { TimeoutSeconds: timeout, HeartbeatSeconds: heartbeat } = state;
  if (heartbeat !== undefined && !String(state.Resource).endsWith('.waitForTaskToken')) {
    checks.report(`${at}/HeartbeatSeconds`, 'Only a task that waits for its token can send heartbeats');
  }
  if (typeof timeout === 'number' && typeof heartbeat === 'number' && heartbeat >= timeout) {
    checks.report(`${at}/HeartbeatSeconds`, 'must be smaller than TimeoutSeconds');
  }
}

function checkFields(
  raw: JsonObject,
  at: string,
  checks: StateChecks,
  fields: Readonly<Record<string, FieldCheck>>,
  required: readonly string[],
): void {
  for (const [field, value] of Object.entries(raw)) {
    const check = Object.hasOwn(fields, field) ? fields[field] : undefined;
    if (check !== undefined) check(value, `${at}/${field}`, checks, raw);
    else if (JSONPATH_FIELDS.has(field)) {
      checks.report(
        at,
        `The QueryLanguage is set to 'JSONata', but field '${field}' is only supported for the 'JSONPath' QueryLanguage`,
      );
    } else checks.report(`${at}/${field}`, `Field '${field}' is not supported`);
  }
  for (const field of required)
    if (raw[field] === undefined) checks.report(at, `These fields are required: [${field}]`);
}

function checkRules(
  value: Json,
  at: string,
  checks: StateChecks,
  fields: Readonly<Record<string, FieldCheck>>,
  required: readonly string[],
): void {
  if (!Array.isArray(value) || value.length === 0) {
    checks.report(at, 'must be a list of rules');
    return;
  }
  for (const [index, rule] of value.entries()) {
    if (!isObject(rule)) checks.report(`${at}[${index}]`, 'must be an object');
    else {
      checkFields(rule, `${at}[${index}]`, checks, fields, required);
      const all = Array.isArray(rule.ErrorEquals) && rule.ErrorEquals.includes('States.ALL');
      if (all && index < value.length - 1)
        checks.report(`${at}[${index}]`, 'A rule with States.ALL must be the last');
    }
  }
}

function checkLambdaArguments(value: Json, at: string, checks: StateChecks): void {
  if (!isObject(value)) return;
  if (value.FunctionName === undefined) checks.report(at, 'These fields are required: [FunctionName]');
  for (const field of Object.keys(value)) {
    if (!LAMBDA_ARGUMENTS.includes(field))
      checks.report(`${at}/${field}`, `The argument '${field}' of lambda:invoke is not supported`);
  }
}

/** AWS takes an upper-case T and Z, whole numbers and an optional fraction. */
function isTimestamp(value: Json): boolean {
  const shape = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;
  return typeof value === 'string' && shape.test(value) && !Number.isNaN(Date.parse(value));
}
