/**
 * What the function that drills is told by its environment, checked at its first call with the name of what is wrong, and the endpoint as
 * the canary takes it.
 */
import { type DrillWindow, parseDrillWindow } from '../core/drill/drill-window.ts';
import { InvalidInput, readId, readNonEmpty } from '../core/wire/fields.ts';
import type { DatabaseSecret } from '../core/wire/parse-database-secret.ts';

export interface DrillSettings {
  readonly cluster: string;
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** The name by which Parameter Store gives the secret of the canary's user. */
  readonly secretParameter: string;
  readonly window: DrillWindow | null;
  readonly table: string;
  /** PEM of who signed the server's certificate; null: without TLS. */
  readonly ca: string | null;
}

export function readDrillSettings(env: Readonly<Record<string, string | undefined>>): DrillSettings {
  const text = (name: string) => readNonEmpty(env[name], name);
  const port = Number(text('DRILL_PORT'));
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new InvalidInput('DRILL_PORT', env['DRILL_PORT'], 'a port');
  return {
    cluster: readId(env['DRILL_CLUSTER'], 'DRILL_CLUSTER'),
    host: text('DRILL_HOST'),
    port,
    database: text('DRILL_DATABASE'),
    secretParameter: text('DRILL_SECRET'),
    window: parseDrillWindow(env['DRILL_WINDOW'], 'DRILL_WINDOW'),
    table: text('DRILL_TABLE'),
    ca: env['DRILL_CA'] === undefined || env['DRILL_CA'] === '' ? null : env['DRILL_CA'],
  };
}

export function dsnOf(
  { host, port, database }: DrillSettings,
  { username, password }: DatabaseSecret,
): string {
  const [user, secret, name] = [username, password, database].map(encodeURIComponent);
  return `postgresql://${user}:${secret}@${host}:${port}/${name}`;
}
