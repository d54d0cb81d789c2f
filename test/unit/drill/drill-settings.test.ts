/** What the function that drills is told, and where its canary then goes. */
import { expect, test } from 'vitest';
import { parseDatabaseSecret } from '../../../core/wire/parse-database-secret.ts';
import { dsnOf, readDrillSettings } from '../../../lambdas/drill-settings.ts';

const env = {
  DRILL_CLUSTER: 'main',
  DRILL_HOST: 'db.internal',
  DRILL_PORT: '5432',
  DRILL_DATABASE: 'app',
  DRILL_SECRET: '/aws/reference/secretsmanager/canary',
  DRILL_WINDOW: 'sun 02:00-04:00',
  DRILL_TABLE: 'leasehold_canary',
};

test('a user and a password of any characters make a URL that says the same', () => {
  const url = new URL(dsnOf(readDrillSettings(env), { username: 'canary@x', password: 'p/w:d #?%' }));
  expect(url).toMatchObject({
    hostname: 'db.internal',
    port: '5432',
    pathname: '/app',
    search: '',
    hash: '',
  });
  expect(decodeURIComponent(url.username)).toBe('canary@x');
  expect(decodeURIComponent(url.password)).toBe('p/w:d #?%');
});

test.each(Object.keys(env))('%s that is missing is refused by name', (name) => {
  expect(() => readDrillSettings({ ...env, [name]: undefined })).toThrow(new RegExp(name));
});

test.each(['0', '70000', 'x', '1.5'])('%j is no port', (port) => {
  expect(() => readDrillSettings({ ...env, DRILL_PORT: port })).toThrow(/^DRILL_PORT was /);
});

test('a secret is JSON with both, and what it was is never repeated', () => {
  expect(parseDatabaseSecret('{"username":"u","password":"p","engine":"postgres"}')).toEqual({
    username: 'u',
    password: 'p',
  });
  for (const wrong of ['hunter2', '{"username":"u","password":5}', '{"username":"u"}', '"hunter2"']) {
    expect(() => parseDatabaseSecret(wrong)).toThrow(/secret/);
    expect(() => parseDatabaseSecret(wrong)).not.toThrow(/hunter2|: 5/);
  }
});
