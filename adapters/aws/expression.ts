/**
 * Names and values of one DynamoDB expression. Every name is an alias, because hundreds of words (`state`, `status`, `members`)
 * are reserved; every value is a parameter.
 */
export interface Expression {
  /** The alias of an attribute, or of a path such as `operation.id`. */
  name(path: string): string;
  value(value: unknown): string;
  /** True for an attribute that is missing or null. */
  isNull(path: string): string;
  /** `SET a = :1, ...` for every attribute of the item; `more` are further assignments. */
  set(item: Readonly<Record<string, unknown>>, more?: readonly string[]): string;
  /** To be spread into the command's input. */
  parameters(): {
    ExpressionAttributeNames?: Record<string, string>;
    ExpressionAttributeValues?: Record<string, unknown>;
  };
}

export function createExpression(): Expression {
  const names = new Map<string, string>();
  const values: Record<string, unknown> = {};
  const aliasOf = (attribute: string): string => {
    const alias = names.get(attribute) ?? `#n${names.size}`;
    names.set(attribute, alias);
    return alias;
  };
  const name = (path: string): string => path.split('.').map(aliasOf).join('.');
  const value = (given: unknown): string => {
    const placeholder = `:v${Object.keys(values).length}`;
    values[placeholder] = given;
    return placeholder;
  };
  return {
    name,
    value,
    isNull(path) {
      return `(attribute_not_exists(${name(path)}) OR attribute_type(${name(path)}, ${value('NULL')}))`;
    },
    set(item, more = []) {
      const assignments = Object.entries(item).map(([key, given]) => `${aliasOf(key)} = ${value(given)}`);
      return `SET ${[...assignments, ...more].join(', ')}`;
    },
    parameters() {
      const ExpressionAttributeNames = Object.fromEntries(
        [...names].map(([attribute, alias]) => [alias, attribute]),
      );
      return {
        ...(names.size === 0 ? {} : { ExpressionAttributeNames }),
        ...(Object.keys(values).length === 0 ? {} : { ExpressionAttributeValues: values }),
      };
    },
  };
}
