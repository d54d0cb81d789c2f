/**
 * The parameters of a host as the first boot left them: lines `name base64`, written by `infra/host-user-data.ts` through `host/boot.py`, or
 * by a person for a host that exists already.
 */
import { InvalidInput, readNonEmpty, readOneOf } from '../../core/wire/fields.ts';

export const parametersFile = '/etc/leasehold/parameters';

export type Parameters = ReadonlyMap<string, string>;

const line = /^([A-Za-z][A-Za-z0-9_.]*) ([A-Za-z0-9+/]*={0,2})$/;

/** Throws InvalidInput for a line that is none, and for a name that comes twice. Empty lines and `#` comments are left out. */
export function readParameters(text: string): Parameters {
  const parameters = new Map<string, string>();
  for (const [at, written] of text.split('\n').entries()) {
    if (written.trim() === '' || written.startsWith('#')) continue;
    const [, name = '', value = ''] = line.exec(written) ?? [];
    // It may hold a secret: a refusal does not repeat it.
    if (name === '')
      throw new InvalidInput(`line ${at + 1} of the parameters`, '(hidden)', 'a name, a space, base64');
    if (parameters.has(name)) throw new InvalidInput(name, '(given twice)', 'one line');
    parameters.set(name, Buffer.from(value, 'base64').toString('utf8'));
  }
  return parameters;
}

/** Throws InvalidInput naming the parameter. */
export function parameter(parameters: Parameters, name: string): string {
  return readNonEmpty(parameters.get(name), name);
}

/** A whole number in decimal digits; whether it is in range, the host config's parser says. */
export function numberParameter(parameters: Parameters, name: string): number {
  const text = parameter(parameters, name);
  if (!/^\d{1,9}$/.test(text)) throw new InvalidInput(name, text, 'a whole number in decimal digits');
  return Number(text);
}

export function roleParameter(parameters: Parameters): 'database' | 'proxy' {
  return readOneOf(parameters.get('role'), 'role', ['database', 'proxy']);
}

/** All that begin with `prefix.`, without it. */
export function parametersBelow(parameters: Parameters, prefix: string): Record<string, string> {
  const below: Record<string, string> = {};
  for (const [name, value] of parameters)
    if (name.startsWith(`${prefix}.`)) below[name.slice(prefix.length + 1)] = value;
  return below;
}
