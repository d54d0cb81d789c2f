// Checks the values in which expressions may stand: each `{% ... %}` is checked as an expression, and a text that only
// looks like one, like a JSONPath, an intrinsic or a forgotten substitution is refused instead of passed on literally.

import { checkExpression } from './check-expression.ts';
import { expressionIn } from './expression.ts';
import type { Json } from './json.ts';

export interface TemplateChecks {
  report(location: string, message: string, code?: string): void;
  /** The variables that the block and its enclosing blocks may assign. */
  variables: ReadonlySet<string>;
}

/** Reports every problem of a template; `members` are the members of `$states` that this field can see. */
export function checkTemplate(
  value: Json,
  at: string,
  members: ReadonlySet<string>,
  checks: TemplateChecks,
): void {
  if (typeof value === 'string') {
    checkText(value, at, members, checks);
    return;
  }
  if (value === null || typeof value !== 'object') return;
  const isArray = Array.isArray(value);
  for (const [key, part] of Object.entries(value)) {
    const place = isArray ? `${at}[${key}]` : `${at}/${key}`;
    if (!isArray && key.endsWith('.$')) checks.report(place, `A key that ends in '.$' belongs to JSONPath`);
    checkTemplate(part, place, members, checks);
  }
}

function checkText(text: string, at: string, members: ReadonlySet<string>, checks: TemplateChecks): void {
  const source = expressionIn(text);
  if (source !== undefined) {
    for (const problem of checkExpression(source, { members, variables: checks.variables })) {
      checks.report(at, problem.message, problem.code);
    }
    return;
  }
  const trimmed = text.trim();
  if (trimmed.startsWith('{%') || trimmed.endsWith('%}')) {
    checks.report(at, "An expression must start with '{%' and end with '%}', without spaces around");
  }
  if (/^\$\$?([.[]|$)/.test(text))
    checks.report(at, `'${text}' is a JSONPath, which JSONata states do not evaluate`);
  if (/^States\.\w+\(/.test(text))
    checks.report(at, `'${text}' is an intrinsic, which JSONata states do not evaluate`);
  if (/^\$\{\w+\}$/.test(text)) checks.report(at, `The substitution '${text}' was not made`);
}

/** A check for a field that takes either an expression or a value for which `valid` holds. */
export function expressionOr(members: ReadonlySet<string>, what: string, valid: (value: Json) => boolean) {
  return (value: Json, at: string, checks: TemplateChecks): void => {
    const isExpression = typeof value === 'string' && expressionIn(value) !== undefined;
    if (isExpression || valid(value)) checkTemplate(value, at, members, checks);
    else checks.report(at, `must be ${what} or a JSONata expression`);
  };
}
