// Finds in a JSONata expression, before anything runs, what AWS refuses or what could only ever be undefined: a syntax
// error, `$eval`, `$$`, a name or `$` read from a top-level context that does not exist, a member of `$states` that this
// field does not have, a function or variable that nothing defines. Walks the tree that jsonata 2.0.6 builds.

import jsonata from 'jsonata';
import { AWS_FUNCTIONS, JSONATA_FUNCTIONS } from './jsonata-functions.ts';

export interface ExpressionProblem {
  code: 'INVALID_JSONATA_EXPRESSION' | 'UNSUPPORTED_JSONATA_EXPRESSION';
  message: string;
}

/** What the field around the expression offers: members of `$states`, and the variables that its scope may hold. */
export interface ExpressionSurroundings {
  members: ReadonlySet<string>;
  variables: ReadonlySet<string>;
}

interface Node {
  type: string;
  value?: unknown;
  name?: unknown;
  [field: string]: unknown;
}

const FUNCTIONS: ReadonlySet<string> = new Set([...JSONATA_FUNCTIONS, ...Object.keys(AWS_FUNCTIONS)]);
const MEMBERS = ['input', 'result', 'errorOutput', 'context'];

/** Every problem of this expression (the text inside `{% %}`); none means it may run. */
export function checkExpression(source: string, surroundings: ExpressionSurroundings): ExpressionProblem[] {
  let tree: Node;
  try {
    tree = jsonata(source).ast() as unknown as Node;
  } catch (error) {
    const { message, position } = error as { message?: string; position?: number };
    return [
      { code: 'INVALID_JSONATA_EXPRESSION', message: `${message} (at ${position ?? 0} of '${source}')` },
    ];
  }
  const messages = new Set<string>();
  walk(tree, {
    hasContext: false,
    locals: new Set(),
    surroundings,
    report: (message) => messages.add(message),
  });
  return [...messages].map((message) => ({ code: 'UNSUPPORTED_JSONATA_EXPRESSION', message }));
}

interface Place {
  /** Whether a context item exists here: false until a step of a path provides one. */
  hasContext: boolean;
  /** Names that this expression itself binds. A block and a lambda copy it; `:=` adds to it. */
  locals: Set<string>;
  surroundings: ExpressionSurroundings;
  report(message: string): void;
}

function walk(node: Node, place: Place): void {
  switch (node.type) {
    case 'path':
      walkPath(node, place);
      break;
    case 'name':
      if (!place.hasContext) place.report(`Reference to '${node.value}' at the top level is not supported.`);
      break;
    case 'wildcard':
    case 'descendant':
    case 'parent':
      if (!place.hasContext) place.report(`A '${node.value ?? '%'}' at the top level is not supported.`);
      break;
    case 'variable':
      checkVariable(String(node.value), place);
      break;
    case 'bind': {
      const name = String((node.lhs as Node).value);
      if (name === 'states') place.report("The reserved variable 'states' cannot be assigned.");
      place.locals.add(name);
      walk(node.rhs as Node, place);
      break;
    }
    case 'lambda': {
      const names = (node.arguments as Node[]).map((argument) => String(argument.value));
      walk(node.body as Node, { ...place, locals: new Set([...place.locals, ...names]) });
      break;
    }
    case 'block':
      walkAll(node.expressions, { ...place, locals: new Set(place.locals) });
      break;
    case 'transform':
      for (const part of ['pattern', 'update', 'delete']) {
        if (node[part] !== undefined) walk(node[part] as Node, { ...place, hasContext: true });
      }
      break;
    default:
      walkParts(node, place);
  }
  walkFollowers(node, place);
}

/** The operands of every operator, constructor, condition and call. */
function walkParts(node: Node, place: Place): void {
  for (const part of ['procedure', 'condition', 'then', 'else', 'expression', 'rhs']) {
    if (isNode(node[part])) walk(node[part], place);
  }
  if (isNode(node.lhs)) walk(node.lhs, place);
  else walkPairs(node.lhs, place);
  walkAll(node.arguments, place);
  walkAll(node.expressions, place);
  for (const term of (node.terms ?? []) as { expression: Node }[]) {
    walk(term.expression, { ...place, hasContext: true });
  }
}

function walkPath(node: Node, place: Place): void {
  const steps = node.steps as Node[];
  const [first, second] = steps;
  if (first?.type === 'variable' && first.value === 'states') checkMember(second, place);
  const inside = { ...place, locals: new Set(place.locals) };
  for (const [index, step] of steps.entries()) {
    walk(step, { ...inside, hasContext: index > 0 || place.hasContext });
    for (const binding of [step.focus, step.index])
      if (typeof binding === 'string') inside.locals.add(binding);
  }
  walkFollowers(node, inside);
}

/** Predicates, `#` bindings and groupings, which see each item of what they follow as their context. */
function walkFollowers(node: Node, place: Place): void {
  const inside = { ...place, hasContext: true };
  for (const stage of [node.stages, node.predicate].flat() as (
    | { type: string; expr?: Node; value?: unknown }
    | undefined
  )[]) {
    if (stage?.type === 'index') place.locals.add(String(stage.value));
    if (stage?.expr !== undefined) walk(stage.expr, inside);
  }
  if (node.group !== undefined) walkPairs((node.group as { lhs: unknown }).lhs, inside);
}

function walkPairs(pairs: unknown, place: Place): void {
  if (Array.isArray(pairs)) for (const pair of pairs) walkAll(pair, place);
}

function walkAll(nodes: unknown, place: Place): void {
  if (Array.isArray(nodes)) for (const node of nodes) if (isNode(node)) walk(node, place);
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}

function checkVariable(name: string, place: Place): void {
  if (name === '$') {
    place.report("Reference to '$$' is not supported.");
    return;
  }
  if (name === '') {
    if (!place.hasContext) place.report("Reference to '$' at the top level is not supported.");
    return;
  }
  if (name === 'eval') {
    place.report("The function '$eval' is not supported.");
    return;
  }
  const { variables } = place.surroundings;
  const known = name === 'states' || place.locals.has(name) || variables.has(name) || FUNCTIONS.has(name);
  if (!known) place.report(`Nothing assigns '$${name}', and no function has that name.`);
}

function checkMember(step: Node | undefined, place: Place): void {
  if (step?.type !== 'name' || place.surroundings.members.has(String(step.value))) return;
  const exists = MEMBERS.includes(String(step.value));
  place.report(`Reference to '$states.${step.value}' is not supported${exists ? ' in this field' : ''}.`);
}
