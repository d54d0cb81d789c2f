// Decides whether the interpreter understands a definition completely. Nothing is ever silently ignored: an unknown
// field, state type, resource or query language, a JSONPath field, a bad transition and an expression that could only be
// undefined are all problems, named with AWS's codes and the place in the definition. Where AWS would accept a text that
// merely looks like JSONPath or an intrinsic as a literal, this is stricter, because it is always a mistake.

import { isObject, type JsonObject } from './json.ts';
import { checkState, type StateChecks } from './validate-state.ts';

export interface DefinitionProblem {
  /** As AWS names it, e.g. `SCHEMA_VALIDATION_FAILED`, `MISSING_TRANSITION_TARGET`, `UNSUPPORTED_JSONATA_EXPRESSION`. */
  code: string;
  message: string;
  /** A path into the definition, e.g. `/States/Promote/Arguments/FunctionName`. */
  location: string;
}

/** The task resources this project uses, in any partition. */
export const LAMBDA_RESOURCE = /^arn:aws[a-z-]*:states:::lambda:invoke(\.waitForTaskToken)?$/;
/** AWS's limit on a definition, and a bound on everything that walks one. */
const LONGEST_DEFINITION = 1_048_576;
const DEEPEST_BLOCK = 20;
const MACHINE_FIELDS = ['Comment', 'QueryLanguage', 'StartAt', 'States', 'TimeoutSeconds', 'Version'];
const BLOCK_FIELDS = ['Comment', 'StartAt', 'States'];

/**
 * Every problem of a definition (JSON text); none means it will run as it does on AWS. `resources` tells the task
 * resources that the task invoker takes.
 */
export function validateDefinition(text: string, resources: RegExp = LAMBDA_RESOURCE): DefinitionProblem[] {
  const problems: DefinitionProblem[] = [];
  const report = (location: string, message: string, code = 'SCHEMA_VALIDATION_FAILED') => {
    problems.push({ code, message, location });
  };
  if (text.length > LONGEST_DEFINITION) report('/', 'The definition is longer than 1 MiB');
  const machine = parse(text);
  if (!isObject(machine)) {
    report('/', 'The definition must be a JSON object', 'INVALID_JSON_DESCRIPTION');
    return problems;
  }
  if (machine.QueryLanguage !== 'JSONata') {
    report('/QueryLanguage', "Only 'JSONata' is supported, and it must be set for the whole state machine");
  }
  if (machine.Version !== undefined && machine.Version !== '1.0') report('/Version', "Version must be '1.0'");
  const { TimeoutSeconds: seconds } = machine;
  if (seconds !== undefined && !(Number.isInteger(seconds) && Number(seconds) > 0)) {
    report('/TimeoutSeconds', 'TimeoutSeconds must be a positive integer');
  }
  unknownFields(machine, MACHINE_FIELDS, '', report);
  checkBlock(machine, '', { report, resources, names: new Set(), outer: new Set(), depth: 0 });
  return problems;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

type Report = (location: string, message: string, code?: string) => void;

interface Surroundings {
  report: Report;
  resources: RegExp;
  /** State names met so far: they must be unique in the whole machine. */
  names: Set<string>;
  /** Variables that enclosing blocks assign: readable here, not assignable. */
  outer: ReadonlySet<string>;
  depth: number;
}

function unknownFields(raw: JsonObject, known: readonly string[], at: string, report: Report): void {
  for (const field of Object.keys(raw)) {
    if (!known.includes(field)) report(`${at}/${field}`, `Field '${field}' is not supported`);
  }
}

function checkBlock(block: JsonObject, at: string, around: Surroundings): void {
  const { report } = around;
  if (around.depth > DEEPEST_BLOCK) {
    report(at, `Blocks are nested more than ${DEEPEST_BLOCK} deep`);
    return;
  }
  if (typeof block.StartAt !== 'string') report(`${at}/StartAt`, 'StartAt must be a string');
  if (!isObject(block.States) || Object.keys(block.States).length === 0) {
    report(`${at}/States`, 'States must be an object with at least one state');
    return;
  }
  const states = new Map<string, JsonObject>();
  for (const [name, state] of Object.entries(block.States)) {
    const place = `${at}/States/${name}`;
    if (name.length > 80) report(place, 'A state name has at most 80 characters');
    if (around.names.has(name)) report(place, `Another state is named '${name}'`, 'DUPLICATE_STATE_NAME');
    around.names.add(name);
    if (isObject(state)) states.set(name, state);
    else report(place, 'A state must be an object');
  }
  const assigned = assignedVariables([...states.values()]);
  const checks: StateChecks = {
    report,
    resources: around.resources,
    variables: new Set([...around.outer, ...assigned]),
    outer: around.outer,
    checkBlock: (inner, place, mode) => {
      unknownFields(
        inner,
        mode === 'processor' ? [...BLOCK_FIELDS, 'ProcessorConfig'] : BLOCK_FIELDS,
        place,
        report,
      );
      checkBlock(inner, place, {
        ...around,
        outer: new Set([...around.outer, ...assigned]),
        depth: around.depth + 1,
      });
    },
  };
  for (const [name, state] of states) checkState(state, `${at}/States/${name}`, checks);
  checkTransitions(block, states, at, report);
}

/** The variables that some state of this very block may assign. */
function assignedVariables(states: readonly JsonObject[]): Set<string> {
  const names = new Set<string>();
  for (const state of states) {
    for (const holder of [state, state.Choices, state.Catch].flat()) {
      if (isObject(holder) && isObject(holder.Assign))
        for (const name of Object.keys(holder.Assign)) names.add(name);
    }
  }
  return names;
}

/** Every transition leads to a state of the block, every state can be reached, and the block can end. */
function checkTransitions(
  block: JsonObject,
  states: ReadonlyMap<string, JsonObject>,
  at: string,
  report: Report,
): void {
  const missing = (place: string, target: unknown) => {
    report(place, `Missing transition target '${String(target)}'`, 'MISSING_TRANSITION_TARGET');
  };
  const reached = new Set<string>();
  if (typeof block.StartAt === 'string') {
    if (states.has(block.StartAt)) reached.add(block.StartAt);
    else missing(`${at}/StartAt`, block.StartAt);
  }
  // A set's iteration also visits what is added meanwhile, so this walks the graph; each state is added once.
  for (const name of reached) {
    for (const target of targetsOf(states.get(name) ?? {})) if (states.has(target)) reached.add(target);
  }
  for (const [name, state] of states) {
    const place = `${at}/States/${name}`;
    for (const target of targetsOf(state)) if (!states.has(target)) missing(place, target);
    if (!reached.has(name)) report(place, `No transition leads to '${name}'`, 'MISSING_TRANSITION_TARGET');
  }
  const ends = [...states.values()].some((s) => s.End === true || s.Type === 'Succeed' || s.Type === 'Fail');
  if (!ends) report(`${at}/States`, 'No state ends the block', 'MISSING_END_STATE');
}

function targetsOf(state: JsonObject): string[] {
  const rules = [state.Choices, state.Catch].flat().filter(isObject);
  const targets = [state.Next, state.Default, ...rules.map((rule) => rule.Next)];
  return targets.filter((target): target is string => typeof target === 'string');
}
