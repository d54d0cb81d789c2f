/** What makes a database host ready for the next login: by whom it is made, when, and what is never touched. */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { loginStatements, scramVerifier, setLogin } from '../../../adapters/postgres/logins.ts';
import type { HostContext } from '../../../agent/database/host-context.ts';
import { isLoginInUse, mayUseLogin, prepareSecret } from '../../../agent/database/rotate-login.ts';
import { SecretBook } from '../../../agent/secret-book.ts';
import { aLease, aRecord } from '../../support/host-states.ts';

const installed = {
  superuser: { name: 'postgres', password: 'p0' },
  replication: { name: 'replicator', password: 'r0' },
  cluster: 'c0',
};

interface Host {
  readonly kind?: 'primary' | 'standby' | 'stopped';
  /** What the server says before and after the login was made. */
  readonly takes?: readonly (boolean | null)[];
  readonly holder?: boolean;
  readonly operation?: { id: string; kind: 'failover'; executionArn: null } | null;
  readonly role?: string;
  /** The login of the other secret. */
  readonly replication?: string;
  /** Why access rules do not let the login in. */
  readonly barred?: string;
}

async function prepared({ kind = 'primary', takes = [false, true], holder = true, ...rest }: Host) {
  const replication = { name: rest.replication ?? 'replicator', password: 'r0' };
  const secrets = { ...installed, replication };
  const book = new SecretBook('/nowhere', { secrets, secretIds: null }, () => undefined);
  book.add('superuser', 'v1', JSON.stringify({ username: rest.role ?? 'postgres_alt', password: 'p1' }));
  const did: string[] = [];
  const answers = [...takes];
  const context = {
    server: {
      last: () => ({ postgres: { kind } }),
      node: {
        writePasswords: async () => did.push('passwords'),
        admitMembers: async () => {
          did.push('access');
          return rest.barred ?? null;
        },
        takesLogin: async () => (answers.length === 0 ? false : (answers.shift() ?? null)),
        setLogin: async () => {
          did.push('login');
          return null;
        },
      },
    },
    keeper: {
      view: () => ({
        ...{ record: aRecord({ operation: rest.operation ?? null }), watch: { lease: aLease() } },
        holdStage: 'valid',
      }),
      isHolder: () => holder,
    },
    disk: { reload: () => undefined, facts: () => ({ fencedEpoch: 0, highestEpoch: 1 }) },
    log: () => undefined,
  } as unknown as HostContext;
  return { ready: await prepareSecret(context, book, 'superuser', 'v1'), did };
}

const operation = { id: 'o', kind: 'failover', executionArn: null } as const;

describe('a database host', () => {
  test('as primary makes the login, under rules that take it, and believes what it sees', async () => {
    expect(await prepared({})).toEqual({ ready: true, did: ['passwords', 'access', 'login'] });
    expect((await prepared({ takes: [false, false] })).ready).toBe(false);
  });

  test.each<[string, Host]>([
    ['the role in use', { role: 'postgres' }],
    ['a server that takes it already', { takes: [true] }],
    ['a server that cannot be asked', { takes: [null] }],
    ['a standby, which gets it by replay', { kind: 'standby' }],
    ['a server that is down', { kind: 'stopped' }],
    ['without the lease', { holder: false }],
    ['an operation that is under way', { operation }],
    ["a role that is the other secret's too", { replication: 'postgres' }],
    ["a role that is the other secret's second one", { replication: 'postgres_alt' }],
    ['access rules that somebody else wrote', { barred: 'not as Leasehold wrote it' }],
  ])('touches no login: %s', async (_why, host) => {
    expect((await prepared(host)).did).not.toContain('login');
  });

  test('is not ready under access rules that may not last, whatever the server takes now', async () => {
    expect((await prepared({ takes: [true], barred: 'line 3 is wrong' })).ready).toBe(false);
  });

  test.each<[string, object, boolean | null, boolean]>([
    ['a primary that takes it', { kind: 'primary' }, true, true],
    ['a primary that refuses it', { kind: 'primary' }, false, false],
    ['a primary that cannot be asked', { kind: 'primary' }, null, false],
    ['a standby that streams and refuses it', { kind: 'standby', streaming: true }, false, false],
    ['a standby that does not stream', { kind: 'standby', streaming: false }, false, true],
    ['a server that is down', { kind: 'stopped' }, false, true],
  ])('changes over by what its own server says: %s', async (_what, postgres, takes, may) => {
    const book = new SecretBook('/nowhere', { secrets: installed, secretIds: null }, () => undefined);
    const said: string[] = [];
    const context = {
      server: { last: () => ({ postgres }), node: { takesLogin: async () => takes } },
      log: (level: string) => said.push(level),
    } as unknown as HostContext;
    expect(await mayUseLogin(context, book, 'replication', null)).toBe(may);
    expect(said).toEqual(may ? [] : ['error']);
  });

  test('as standby is ready once it has seen the login succeed', async () => {
    expect((await prepared({ kind: 'standby', takes: [false] })).ready).toBe(false);
    expect((await prepared({ kind: 'standby', takes: [null] })).ready).toBe(false);
    expect((await prepared({ kind: 'standby', takes: [true] })).ready).toBe(true);
  });

  test.each([
    ['replicator', true, true],
    ['replicator', false, false],
    ['replicator_alt', true, false],
    [null, true, false],
  ])('that follows by %s (streaming: %s) uses the login that is in use: %s', (follows, streaming, inUse) => {
    const context = {
      server: { last: () => ({ postgres: { kind: 'standby', streaming } }), followsAs: () => follows },
      config: { secrets: installed },
    } as unknown as HostContext;
    expect(isLoginInUse(context, 'replication')).toBe(inUse);
    expect(isLoginInUse(context, 'superuser')).toBe(true);
  });
});

describe('a login', () => {
  test('is told to PostgreSQL as a verifier, by which the password can be checked and not be found', () => {
    const verifier = scramVerifier('Sixteen1letters2', Buffer.alloc(16, 7));
    const [, iterations, salt, stored] = /^SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):[^:]+$/.exec(verifier) ?? [];
    const salted = pbkdf2Sync(
      'Sixteen1letters2',
      Buffer.from(salt ?? '', 'base64'),
      Number(iterations),
      32,
      'sha256',
    );
    const clientKey = createHmac('sha256', salted).update('Client Key').digest();
    expect(createHash('sha256').update(clientKey).digest('base64')).toBe(stored);
    expect(verifier).not.toContain('Sixteen');
    expect(() => scramVerifier('pass wörd')).toThrow(/^((?!wörd).)*ASCII$/);
  });

  test("of a name that is somebody else's is not made", async () => {
    const asked: string[] = [];
    const connection = (rows: readonly object[]) => ({
      query: async (sql: string) => {
        asked.push(sql);
        return { kind: 'rows' as const, rows: asked.length === 1 ? (rows as []) : [] };
      },
    });
    const login = { name: 'postgres_alt', password: 'p1' };
    expect(await setLogin(connection([{}]), 'superuser', login)).toEqual({
      ...{ kind: 'somebody-elses', role: 'postgres_alt' },
    });
    expect(asked).toHaveLength(1);
    asked.length = 0;
    expect(await setLogin(connection([]), 'superuser', login)).toBe(null);
    expect(asked.length).toBeGreaterThan(3);
  });

  test('of the first role is a password alone; of the other one a member of it, whose password comes last', () => {
    expect(loginStatements('superuser', 'postgres', 'v')).toEqual([
      `ALTER ROLE "postgres" WITH LOGIN SUPERUSER PASSWORD 'v'`,
    ]);
    const other = loginStatements('superuser', 'postgres_alt', 'v');
    expect(other.slice(1)).toEqual([
      'GRANT "postgres" TO "postgres_alt"',
      `ALTER ROLE "postgres_alt" SET role = 'postgres'`,
      `ALTER ROLE "postgres_alt" WITH LOGIN SUPERUSER PASSWORD 'v'`,
    ]);
    expect(loginStatements('replication', 'replicator_alt', 'v').at(-1)).toBe(
      `ALTER ROLE "replicator_alt" WITH LOGIN REPLICATION PASSWORD 'v'`,
    );
  });
});
