// The compiled form of a JSONata state machine: plain data and templates, nothing left to look up or to parse. Built
// only from a definition that `validateDefinition` found nothing wrong with, so the fields here need no second check.

import { compileTemplate, type Template } from './expression.ts';
import type { Json, JsonObject } from './json.ts';
import type { Retrier } from './retry.ts';
import { type DefinitionProblem, validateDefinition } from './validate-definition.ts';

export interface Machine {
  block: Block;
  timeoutSeconds: number | null;
}

/** One `States` block: that of the machine, of a Map's processor or of a Parallel's branch. */
export interface Block {
  startAt: string;
  states: ReadonlyMap<string, State>;
}

export interface Catcher {
  errorEquals: readonly string[];
  next: string;
  output: Template | null;
  assign: Template | null;
}

export interface ChoiceRule {
  condition: Template;
  next: string;
  output: Template | null;
  assign: Template | null;
}

interface Common {
  name: string;
  /** The next state; null for a terminal state. Choice has its own. */
  next: string | null;
  output: Template | null;
  assign: Template | null;
  retry: readonly Retrier[];
  catch: readonly Catcher[];
}

export type State =
  | (Common & { type: 'Pass' | 'Succeed' })
  | (Common & { type: 'Fail'; error: Template | null; cause: Template | null })
  | (Common & { type: 'Choice'; rules: readonly ChoiceRule[]; otherwise: string | null })
  | (Common & { type: 'Wait'; seconds: Template | null; timestamp: Template | null })
  | (Common & {
      type: 'Task';
      resource: string;
      arguments: Template | null;
      timeoutSeconds: Template | null;
      heartbeatSeconds: Template | null;
    })
  | (Common & { type: 'Parallel'; arguments: Template | null; branches: readonly Block[] })
  | (Common & {
      type: 'Map';
      items: Template | null;
      itemSelector: Template | null;
      maxConcurrency: Template | null;
      processor: Block;
    });

export class DefinitionError extends Error {
  readonly problems: readonly DefinitionProblem[];

  constructor(problems: readonly DefinitionProblem[]) {
    super(problems.map((problem) => `${problem.code}: ${problem.message} at ${problem.location}`).join('; '));
    this.name = 'DefinitionError';
    this.problems = problems;
  }
}

/** Compiles a definition (JSON text). Throws `DefinitionError` naming every problem when there is one. */
export function compileDefinition(text: string): Machine {
  const problems = validateDefinition(text);
  if (problems.length > 0) throw new DefinitionError(problems);
  const definition = JSON.parse(text) as JsonObject;
  return {
    block: compileBlock(definition),
    timeoutSeconds: (definition.TimeoutSeconds ?? null) as number | null,
  };
}

function compileBlock(raw: JsonObject): Block {
  const states = Object.entries(raw.States as JsonObject);
  return {
    startAt: raw.StartAt as string,
    states: new Map(states.map(([name, state]) => [name, compileState(name, state as JsonObject)])),
  };
}

function template(raw: JsonObject, field: string, prefix = ''): Template | null {
  const value = raw[field];
  return value === undefined ? null : compileTemplate(value, prefix + field);
}

function compileState(name: string, raw: JsonObject): State {
  const common: Common = {
    name,
    next: (raw.Next ?? null) as string | null,
    output: template(raw, 'Output'),
    assign: template(raw, 'Assign'),
    retry: ((raw.Retry ?? []) as JsonObject[]).map(compileRetrier),
    catch: ((raw.Catch ?? []) as JsonObject[]).map((each, index) => ({
      errorEquals: each.ErrorEquals as string[],
      next: each.Next as string,
      output: template(each, 'Output', `Catch[${index}]/`),
      assign: template(each, 'Assign', `Catch[${index}]/`),
    })),
  };
  const type = raw.Type as State['type'];
  switch (type) {
    case 'Pass':
    case 'Succeed':
      return { ...common, type };
    case 'Fail':
      return { ...common, type, error: template(raw, 'Error'), cause: template(raw, 'Cause') };
    case 'Choice':
      return {
        ...common,
        type,
        rules: (raw.Choices as JsonObject[]).map((each, index) => ({
          condition: compileTemplate(each.Condition as Json, `Choices[${index}]/Condition`),
          next: each.Next as string,
          output: template(each, 'Output', `Choices[${index}]/`),
          assign: template(each, 'Assign', `Choices[${index}]/`),
        })),
        otherwise: (raw.Default ?? null) as string | null,
      };
    case 'Wait':
      return { ...common, type, seconds: template(raw, 'Seconds'), timestamp: template(raw, 'Timestamp') };
    case 'Task':
      return {
        ...common,
        type,
        resource: raw.Resource as string,
        arguments: template(raw, 'Arguments'),
        timeoutSeconds: template(raw, 'TimeoutSeconds'),
        heartbeatSeconds: template(raw, 'HeartbeatSeconds'),
      };
    case 'Parallel':
      return {
        ...common,
        type,
        arguments: template(raw, 'Arguments'),
        branches: (raw.Branches as JsonObject[]).map(compileBlock),
      };
    case 'Map':
      return {
        ...common,
        type,
        items: template(raw, 'Items'),
        itemSelector: template(raw, 'ItemSelector'),
        maxConcurrency: template(raw, 'MaxConcurrency'),
        processor: compileBlock(raw.ItemProcessor as JsonObject),
      };
  }
}

function compileRetrier(raw: JsonObject): Retrier {
  return {
    errorEquals: raw.ErrorEquals as string[],
    intervalSeconds: (raw.IntervalSeconds ?? 1) as number,
    maxAttempts: (raw.MaxAttempts ?? 3) as number,
    backoffRate: (raw.BackoffRate ?? 2) as number,
    maxDelaySeconds: (raw.MaxDelaySeconds ?? null) as number | null,
    jitter: (raw.JitterStrategy ?? 'NONE') as Retrier['jitter'],
  };
}
