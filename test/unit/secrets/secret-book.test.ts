/** The secrets of a host by version: what is in use is live, survives the agent, and is never lost; nothing of it stands in an error. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SecretBook } from '../../../agent/secret-book.ts';
import { baseRole, otherRole } from '../../../core/model/cluster-secrets.ts';
import { readSecretText, withPassword } from '../../../core/wire/parse-cluster-secrets.ts';

const installed = {
  secrets: {
    superuser: { name: 'postgres', password: 'p0' },
    replication: { name: 'replicator', password: 'r0' },
    cluster: 'c0',
  },
  secretIds: { superuser: 'main/superuser', replication: 'main/replication', cluster: 'main/cluster' },
};
const login = (username: string, password: string) => JSON.stringify({ username, password });
let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-book-'));
  path = join(folder, 'state', 'secrets.json');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('a host that knows of no rotation uses what it was installed with', () => {
  const { secrets, shared } = new SecretBook(path, installed);
  expect({ ...secrets.superuser, cluster: secrets.cluster }).toEqual({
    ...{ name: 'postgres', password: 'p0', cluster: 'c0' },
  });
  expect(shared.accept()).toEqual(['c0']);
});

test('whoever holds the secrets sees at once that another version is in use', () => {
  const book = new SecretBook(path, installed);
  const { superuser } = book.secrets;
  book.add('superuser', 'v1', login('postgres_alt', 'p1'));
  expect(superuser.name).toBe('postgres');
  book.use('superuser', 'v1');
  expect([superuser.name, superuser.password]).toEqual(['postgres_alt', 'p1']);
});

test('what is in use survives the agent, whatever the host was installed with, and its owner alone can read it', () => {
  const book = new SecretBook(path, installed);
  book.add('cluster', 'v1', 'c1');
  book.use('cluster', 'v1');
  expect(new SecretBook(path, installed).secrets.cluster).toBe('c1');
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("what another cluster's host left on the volume is not used, and goes with the next that is written", () => {
  const ids = { superuser: 'other/superuser', replication: 'main/replication', cluster: 'other/cluster' };
  const other = new SecretBook(path, { ...installed, secretIds: ids });
  for (const kind of ['superuser', 'replication', 'cluster'] as const) {
    other.add(kind, 'v1', login('another', 'of-another'));
    other.use(kind, 'v1');
  }
  const book = new SecretBook(path, installed);
  expect([book.uses('superuser'), book.former('superuser'), book.known('superuser')]).toEqual([
    ...[null, undefined, []],
  ]);
  expect(book.secrets.superuser.password).toBe('p0');
  expect(book.shared.accept()).toEqual(['c0']);
  // The same secret: its version is the one in use there.
  expect(book.uses('replication')).toBe('v1');
  book.add('cluster', 'v2', 'c2');
  expect(JSON.parse(readFileSync(path, 'utf8'))).not.toHaveProperty('superuser');
  expect(new SecretBook(path, installed).shared.accept()).toEqual(['c0', 'c2']);
});

test('a host that was not told where its secrets are kept uses what it was told', () => {
  const book = new SecretBook(path, installed);
  book.add('cluster', 'v1', 'c1');
  book.use('cluster', 'v1');
  book.dropFormer('cluster');
  expect(new SecretBook(path, { ...installed, secretIds: null }).secrets.cluster).toBe('c0');
  expect(new SecretBook(path, installed).secrets.cluster).toBe('c1');
});

test('one login a role, what is in use before all others', () => {
  const book = new SecretBook(path, installed);
  book.add('superuser', 'v1', login('postgres_alt', 'p1'));
  expect(book.logins('superuser')).toEqual([
    { name: 'postgres', password: 'p0' },
    { name: 'postgres_alt', password: 'p1' },
  ]);
  book.use('superuser', 'v1');
  book.add('superuser', 'v2', login('postgres', 'p2'));
  expect(
    book
      .logins('superuser')
      .map(({ password }) => password)
      .toSorted(),
  ).toEqual(['p1', 'p2']);
  book.use('superuser', 'v2');
  book.forget('superuser', ['v1']);
  // The former one is kept: PostgreSQL takes it until the next rotation.
  expect(
    book
      .logins('superuser')
      .map(({ password }) => password)
      .toSorted(),
  ).toEqual(['p1', 'p2']);
});

test('the former text is taken until it is dropped', () => {
  const book = new SecretBook(path, installed);
  book.add('cluster', 'v1', '{"password":"c1"}');
  expect(book.shared.accept()).toEqual(['c0', 'c1']);
  book.use('cluster', 'v1');
  expect([book.shared.sign(), ...book.shared.accept().toSorted()]).toEqual(['c1', 'c0', 'c1']);
  book.dropFormer('cluster');
  expect(book.shared.accept()).toEqual(['c1']);
});

test('what is in use cannot be forgotten, and what is not known cannot be used', () => {
  const book = new SecretBook(path, installed);
  book.add('cluster', 'v1', 'c1');
  book.use('cluster', 'v1');
  book.forget('cluster', ['v1']);
  expect(book.secrets.cluster).toBe('c1');
  expect(() => book.use('cluster', 'v2')).toThrow('no text of version v2');
  expect(book.uses('cluster')).toBe('v1');
});

test('a file that cannot be understood is refused without a word of it', () => {
  const book = new SecretBook(path, installed);
  book.add('cluster', 'v1', 'topsecret');
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, -5));
  expect(() => new SecretBook(path, installed)).toThrow(/^((?!topsecret).)*no book of secrets$/);
  writeFileSync(path, '{"cluster":{"from":"main/cluster","uses":"v9","texts":{"v1":"topsecret"}}}');
  expect(() => new SecretBook(path, installed)).toThrow(/^((?!topsecret).)*no text of the version in use$/);
});

test('two roles take turns, and texts keep what else they hold', () => {
  expect(otherRole('postgres')).toBe('postgres_alt');
  expect(otherRole('postgres_alt')).toBe('postgres');
  expect([baseRole('postgres'), baseRole('postgres_alt'), baseRole('_alt')]).toEqual([
    ...['postgres', 'postgres', '_alt'],
  ]);
  const text = withPassword('{"username":"a","password":"b","host":"c"}', 'd', 'e');
  expect(JSON.parse(text)).toEqual({ username: 'e', password: 'd', host: 'c' });
  expect(withPassword('plain', 'new', null)).toBe('new');
  expect(readSecretText('{"password":1')).toEqual({ username: null, password: '{"password":1' });
});
