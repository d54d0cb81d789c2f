/** The secret of a database user, as Secrets Manager keeps it: JSON with `username` and `password`; what else it has is left alone. */
import { type Fields, InvalidInput, readNonEmpty, readSecret } from './fields.ts';

export interface DatabaseSecret {
  readonly username: string;
  readonly password: string;
}

/** Throws InvalidInput, naming the field and never what it was. */
export function parseDatabaseSecret(text: string, field = 'secret'): DatabaseSecret {
  const fields = fieldsIn(text);
  if (fields === null) throw new InvalidInput(field, '(hidden)', 'JSON with "username" and "password"');
  return {
    username: readNonEmpty(fields['username'], `${field}.username`),
    password: readSecret(fields['password'], `${field}.password`),
  };
}

function fieldsIn(text: string): Fields | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;
  } catch {
    return null;
  }
}
