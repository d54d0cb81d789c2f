/**
 * Settings of postgresql.conf as people write them in JSON: numbers and booleans become the text PostgreSQL takes. Settings on
 * which the fence or the identity of a node rests are Leasehold's own and are refused.
 */
import { type Fields, InvalidInput, pathOf, readFields } from './fields.ts';

/** PostgreSQL's names, with the prefix of an extension; as they are matched in the published schema. */
export const settingNamePattern = /^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$/;

/** What the agent writes itself: another value would break replication, the fence or an invariant. */
export const reservedSettings: readonly string[] = [
  'data_directory',
  'full_page_writes',
  'hot_standby',
  'listen_addresses',
  'port',
  'primary_conninfo',
  'primary_slot_name',
  'recovery_target_timeline',
  'restart_after_crash',
  'synchronous_standby_names',
  'unix_socket_directories',
  'wal_level',
  'wal_log_hints',
];

/** Absent is no settings. Throws InvalidInput naming the setting. */
export function readSettings(value: unknown, field: string): Readonly<Record<string, string>> {
  if (value === undefined) return {};
  const fields: Fields = readFields(value, field);
  const settings: Record<string, string> = {};
  for (const [name, setting] of Object.entries(fields)) {
    const path = pathOf(field, name);
    if (!settingNamePattern.test(name)) throw new InvalidInput(path, setting, "a name of PostgreSQL's");
    if (reservedSettings.includes(name)) {
      throw new InvalidInput(path, setting, 'nothing: Leasehold sets it by itself');
    }
    settings[name] = settingText(setting, path);
  }
  return settings;
}

function settingText(value: unknown, field: string): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value === 'number' && Number.isFinite(value)) return `${value}`;
  // A line break would begin another setting.
  if (typeof value === 'string' && !/[\r\n\0]/.test(value)) return value;
  throw new InvalidInput(field, value, 'a string of one line, a number, true or false');
}
