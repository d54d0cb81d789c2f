/**
 * Decides, offline, what IAM would say to a request by a role's own policies: one explicit Deny refuses, else one Allow is needed,
 * else it is refused. Knows what our policies use and throws for anything else, because an operator that is passed over would make
 * a test agree with everything.
 *
 * Source: IAM's user guide, "Policy evaluation logic", "Condition operators" and "Multivalued context keys": among several values
 * of a policy one has to match, several keys and operators all have to; `ForAllValues` holds when the request has no such key.
 */

export interface Statement {
  readonly Sid?: string;
  readonly Effect: 'Allow' | 'Deny';
  readonly Action: string | readonly string[];
  readonly Resource?: string | readonly string[];
  readonly NotResource?: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

/** What a service asks IAM about one of the resources that a call touches. */
export interface ResourceRequest {
  /** `*` where the action knows no resources. */
  readonly arn: string;
  /** Context keys; a list is one of several values, which may have none. A key that is left out is absent from the request. */
  readonly keys?: Readonly<Record<string, string | readonly string[]>>;
}

export interface IamRequest {
  readonly action: string;
  /** A call that touches several resources is allowed only when each of them is. */
  readonly resources: readonly ResourceRequest[];
}

export type Verdict = 'allowed' | 'denied' | 'not-allowed';

/** The worst verdict over the resources. Throws for an element, operator or qualifier that is not known here. */
export function evaluateIam(statements: readonly Statement[], request: IamRequest): Verdict {
  if (request.resources.length === 0) throw new Error('a request names at least one resource, or *');
  for (const statement of statements) refuseUnknownElements(statement);
  const verdicts = request.resources.map((resource) => {
    const matching = statements.filter((statement) => matches(statement, request.action, resource));
    if (matching.some(({ Effect }) => Effect === 'Deny')) return 'denied';
    return matching.length > 0 ? 'allowed' : 'not-allowed';
  });
  return (['denied', 'not-allowed'] as const).find((worst) => verdicts.includes(worst)) ?? 'allowed';
}

const knownElements = ['Sid', 'Effect', 'Action', 'Resource', 'NotResource', 'Condition'];

function refuseUnknownElements(statement: Statement): void {
  const unknown = Object.keys(statement).find((key) => !knownElements.includes(key));
  if (unknown !== undefined) throw new Error(`the element ${unknown} of a statement is not known here`);
  if ((statement.Resource === undefined) === (statement.NotResource === undefined))
    throw new Error('a statement has either Resource or NotResource');
}

function matches(statement: Statement, action: string, { arn, keys = {} }: ResourceRequest): boolean {
  const { Action, Resource, NotResource, Condition = {} } = statement;
  if (!listed(Action).some((pattern) => like(pattern.toLowerCase(), action.toLowerCase()))) return false;
  if (Resource !== undefined && !listed(Resource).some((pattern) => like(pattern, arn))) return false;
  if (NotResource !== undefined && listed(NotResource).some((pattern) => like(pattern, arn))) return false;
  // Every condition is evaluated, so that one which is not known throws whatever the others say.
  return Object.entries(Condition)
    .flatMap(([operator, wanted]) =>
      Object.entries(wanted).map(([key, values]) => holds(operator, listed(values), valuesOf(keys, key))),
    )
    .every(Boolean);
}

/** Null when the request does not have the key. Names of keys do not care for case. */
function valuesOf(
  keys: NonNullable<ResourceRequest['keys']>,
  name: string,
): { readonly values: readonly string[]; readonly several: boolean } | null {
  const found = Object.entries(keys).find(([key]) => key.toLowerCase() === name.toLowerCase());
  if (found === undefined) return null;
  return { values: listed(found[1]), several: typeof found[1] !== 'string' };
}

const comparisons: Readonly<Record<string, (wanted: string, value: string) => boolean>> = {
  StringEquals: (wanted, value) => wanted === value,
  StringEqualsIgnoreCase: (wanted, value) => wanted.toLowerCase() === value.toLowerCase(),
  StringLike: like,
  Bool: (wanted, value) => wanted.toLowerCase() === value.toLowerCase(),
};

function holds(operator: string, wanted: readonly string[], found: ReturnType<typeof valuesOf>): boolean {
  if (operator === 'Null') {
    const absent = found === null || found.values.length === 0;
    return wanted.some((want) => want === String(absent));
  }
  const parts = /^(?:(ForAllValues|ForAnyValue):)?([A-Za-z]+?)(IfExists)?$/.exec(operator);
  const compare = comparisons[parts?.[2] ?? ''];
  if (compare === undefined) throw new Error(`the condition operator ${operator} is not known here`);
  const matching = (value: string) => wanted.some((want) => compare(want, value));
  if (parts?.[1] === 'ForAllValues') return (found?.values ?? []).every(matching);
  if (found === null) return parts?.[3] !== undefined;
  if (parts?.[1] === 'ForAnyValue') return found.values.some(matching);
  if (found.several)
    throw new Error(`${operator} is given several values: it needs ForAllValues or ForAnyValue`);
  return found.values.some(matching);
}

/** `*` is any text and `?` any one character; nothing else is special. */
function like(pattern: string, value: string): boolean {
  const source = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll('*', '[^]*')
    .replaceAll('?', '[^]');
  return new RegExp(`^${source}$`).test(value);
}

function listed(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value;
}
