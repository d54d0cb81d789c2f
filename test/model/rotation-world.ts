/**
 * A cluster as a rotation sees it: the real rotation function, the real Secrets Manager of the embedded runtime and the real agents' side
 * (book, rotation, login), over a record with compare-and-set, PostgreSQL's roles as maps that are replicated, and time in ticks. After
 * every tick and every call it is checked that nobody is locked out (invariants R1 to R3).
 */
import type { RecordChange } from '../../adapters/aws/record-item.ts';
import type { SecretVault } from '../../adapters/aws/secret-vault.ts';
import { ok } from '../../adapters/aws/store-answer.ts';
import { type RotationDeps, RotationWaits, rotateSecret } from '../../adapters/workflow/rotate-secret.ts';
import type { HostContext } from '../../agent/database/host-context.ts';
import { mayUseLogin, prepareSecret } from '../../agent/database/rotate-login.ts';
import { SecretBook } from '../../agent/secret-book.ts';
import { SecretRotation } from '../../agent/secret-rotation.ts';
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import { isLogin, type LoginKind, type SecretKind, secretKinds } from '../../core/model/cluster-secrets.ts';
import type { Lease } from '../../core/model/lease.ts';
import { rotationSteps } from '../../core/secrets/decide-rotation.ts';
import { primaryTakes } from '../../core/secrets/decide-secret-use.ts';
import { readSecretText } from '../../core/wire/parse-cluster-secrets.ts';
import { openSecretsManager } from '../../local/aws/secrets-manager.ts';
import { aLease, aRecord } from '../support/host-states.ts';
import { sampleNodeReport, sampleProxyReport } from '../support/samples.ts';
import { vaultOf } from './rotation-vault.ts';

const installed = {
  superuser: { name: 'postgres', password: 'p0' },
  replication: { name: 'replicator', password: 'r0' },
  cluster: 'c0',
};
const database = ['node1', 'node2', 'node3'];
const proxies = ['proxy1'];

/** What happens at the n-th call of the rotation function to anything outside of it. */
export type Mishap = 'dies-before' | 'dies-after' | 'failover' | 'failover-losing-a-tail' | 'given-up';

export class Died extends Error {}

interface World {
  record: ClusterRecord;
  lease: Lease;
  readonly books: ReadonlyMap<string, SecretBook>;
  readonly rotations: Map<string, SecretRotation>;
  /** By node: role to password. */
  readonly roles: Map<string, Map<string, string>>;
  replicates: boolean;
  /** The primary's roles, tick by tick, in this epoch. */
  readonly history: Map<string, string>[];
  /** Ticks until the operation's failover; null: none is under way. */
  failoverIn: number | null;
  ticks: number;
}

export class RotationWorld {
  readonly #world: World;
  readonly #secrets = openSecretsManager({
    ...{ file: null, region: 'r', accountId: 'a', attempts: 1, againAfterMs: 0 },
    invoke: () => Promise.reject(new Error('called by the test itself')),
  });
  readonly #mishap: { readonly what: Mishap; readonly atCall: number } | null;
  /** Calls of the rotation function, over all its invocations. */
  calls = 0;
  #versions = 0;
  #passwords = 0;
  /** What a primary has taken at any time. */
  readonly #taken = new Set<string>();
  /** What a client read from Secrets Manager last, by kind. */
  readonly broken: string[] = [];

  constructor(mishap: { readonly what: Mishap; readonly atCall: number } | null) {
    this.#mishap = mishap;
    const books = new Map([...database, ...proxies].map((host) => [host, book()]));
    this.#world = {
      record: aRecord(),
      lease: aLease(),
      books,
      rotations: new Map(),
      roles: new Map(database.map((node) => [node, new Map(roles)])),
      replicates: true,
      history: [new Map(roles)],
      failoverIn: null,
      ticks: 0,
    };
    for (const host of books.keys()) this.restart(host);
    for (const kind of secretKinds) {
      const login = isLogin(kind) ? installed[kind] : null;
      const text =
        login === null
          ? installed.cluster
          : JSON.stringify({ username: login.name, password: login.password });
      const tags = { 'leasehold:cluster': 'main', 'leasehold:secret': kind };
      this.#secrets.ensure({ name: kind, text, tags, rotationFunctionArn: 'f' });
    }
  }

  get record(): ClusterRecord {
    return this.#world.record;
  }

  /** A new agent of that host: it knows what is on its disk. */
  restart(host: string): void {
    const world = this.#world;
    const own = world.books.get(host) as SecretBook;
    const isDatabase = database.includes(host);
    const context = this.#context(host);
    world.rotations.set(
      host,
      new SecretRotation({
        book: own,
        kinds: isDatabase ? secretKinds : ['superuser', 'cluster'],
        record: () => world.record,
        fetch: async (kind, version) => {
          const answer = await this.#secrets.handle('GetSecretValue', { SecretId: kind, VersionId: version });
          return ok((answer as { SecretString: string }).SecretString);
        },
        prepare: async (kind, version) =>
          isDatabase ? await prepareSecret(context, own, kind, version) : true,
        mayUse: async (kind, version) =>
          !isDatabase || !isLogin(kind) || (await mayUseLogin(context, own, kind, version)),
        mayTake: (kind, version) =>
          isDatabase ||
          !isLogin(kind) ||
          primaryTakes(
            { record: world.record, lease: world.lease, nodes: this.#nodeReports() },
            kind,
            version,
          ),
        adopt: async () => undefined,
        epoch: () => (isDatabase ? world.lease.epoch : 0),
        isInUse: () => true,
        onChange: () => undefined,
        // Its patience between attempts is not what is tried here.
        now: () => world.ticks * 100_000,
        log: () => undefined,
      }),
    );
  }

  /** As Secrets Manager does: a version, then all steps, again after each that fails. False: given up. */
  async rotate(kind: SecretKind, attempts = 8): Promise<boolean> {
    this.#versions += 1;
    const version = `v${this.#versions}-of-${kind}`;
    await this.#secrets.handle('RotateSecret', { SecretId: kind, ClientRequestToken: version });
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      try {
        for (const Step of rotationSteps)
          await rotateSecret(this.#deps(), { Step, SecretId: kind, ClientRequestToken: version });
        return true;
      } catch (error) {
        if (error instanceof GivenUp) {
          await this.#secrets.handle('UpdateSecretVersionStage', {
            ...{ SecretId: kind, VersionStage: 'AWSPENDING', RemoveFromVersionId: version },
          });
          return false;
        }
        if (!(error instanceof Died || error instanceof RotationWaits)) throw error;
        await this.tick();
      }
    }
    throw new Error(`${kind} is not rotated after ${attempts} attempts`);
  }

  async tick(): Promise<void> {
    const world = this.#world;
    world.ticks += 1;
    // Another order each time: no host may depend on another's being first.
    const hosts = [...world.rotations];
    for (let n = 0; n < hosts.length; n += 1) {
      await hosts[(n + world.ticks) % hosts.length]?.[1].look();
      await this.#check();
    }
    this.#replicate();
    if (world.failoverIn !== null) this.#proceed();
    await this.#check();
  }

  /** Whether that login is taken now, on the primary. */
  takes(role: string, password: string): boolean {
    return this.#world.roles.get(this.#world.lease.holder)?.get(role) === password;
  }

  signsWith(host: string): string {
    return this.#world.books.get(host)?.shared.sign() ?? '';
  }

  accepts(host: string): readonly string[] {
    return this.#world.books.get(host)?.shared.accept() ?? [];
  }

  /** Each standby is as many ticks behind as its place in the list: what one has, another may still lack. */
  #replicate(): void {
    const { roles: all, lease, history, replicates } = this.#world;
    if (!replicates) return;
    history.push(new Map(all.get(lease.holder)));
    for (const [behind, node] of database.entries())
      if (node !== lease.holder) all.set(node, new Map(history[Math.max(0, history.length - 1 - behind)]));
  }

  #proceed(): void {
    const world = this.#world;
    world.failoverIn = (world.failoverIn ?? 0) - 1;
    if (world.failoverIn > 0) return;
    const { record, lease } = world;
    // From the first to the last, which was farthest behind: what the one between had seen it has to see again.
    const to = database[(database.indexOf(lease.holder) + database.length - 1) % database.length] ?? '';
    const epoch = lease.epoch + 1;
    // The new primary has all; or what it has is all there is, and the old one is rewound to that.
    const all = new Map(world.roles.get(world.replicates ? lease.holder : to));
    for (const node of database) world.roles.set(node, new Map(all));
    world.history.splice(0, world.history.length, all);
    world.lease = { ...lease, holder: to, epoch };
    const epochs = [...record.epochs, { epoch, node: to, timeline: epoch, forkLsn: null, history: [] }];
    this.#setRecord({ epochs, operation: null, failoverState: 'stable' });
    world.replicates = true;
    world.failoverIn = null;
  }

  #setRecord(set: Partial<ClusterRecord>): void {
    this.#world.record = { ...this.#world.record, ...set, version: this.#world.record.version + 1 };
  }

  #beginOperation(losing: boolean): void {
    this.#setRecord({
      operation: { id: 'o1', kind: 'failover', executionArn: null },
      failoverState: 'initiated',
    });
    this.#world.replicates = !losing;
    this.#world.failoverIn = 3;
  }

  /** Around each call of the rotation function to the outside. */
  async #call<T>(work: () => Promise<T>): Promise<T> {
    const at = this.calls;
    this.calls += 1;
    const what = this.#mishap?.atCall === at ? this.#mishap.what : null;
    if (what === 'dies-before') throw new Died();
    if (what === 'given-up') throw new GivenUp();
    if (what === 'failover') this.#beginOperation(false);
    if (what === 'failover-losing-a-tail') this.#beginOperation(true);
    const result = await work();
    await this.#check();
    if (what === 'dies-after') throw new Died();
    return result;
  }

  #deps(): RotationDeps {
    const world = this.#world;
    const store = {
      readHead: () => this.#call(async () => ok({ record: world.record, lease: world.lease })),
      readNodes: () => this.#call(async () => ok(this.#nodeReports())),
      readProxies: () => this.#call(async () => ok(this.#proxyReports())),
      putEvent: async () => ok(undefined),
      updateRecord: ({ expect, set }: RecordChange) =>
        this.#call(async () => {
          const { record } = world;
          const asked = [
            expect.version === undefined || expect.version === record.version,
            expect.operation !== null || record.operation === null,
          ];
          if (asked.includes(false)) return { kind: 'refused' };
          if (record.operation !== null)
            this.broken.push('the record was changed while an operation was under way');
          this.#setRecord(set);
          return ok(world.record);
        }),
    };
    return {
      storeOf: () => store as never,
      vault: this.#vault(),
      newPassword: () => {
        this.#passwords += 1;
        return `new${this.#passwords}`;
      },
      patienceMs: 10_000,
      now: () => world.ticks * 500,
      sleep: () => this.tick(),
      log: () => undefined,
      who: 'rotate',
      newId: () => 'id',
      time: () => '',
    };
  }

  #vault(): SecretVault {
    const ask = (operation: string, input: object) =>
      this.#call(async () => await this.#secrets.handle(operation, input as never));
    return vaultOf(ask, (error) => error instanceof Died || error instanceof GivenUp);
  }

  #nodeReports() {
    const { lease, rotations } = this.#world;
    return database.map((node) => ({
      ...sampleNodeReport,
      ...{ node, epoch: lease.epoch, role: node === lease.holder ? 'primary' : 'standby', streaming: true },
      secrets: rotations.get(node)?.report(),
    })) as never;
  }

  #proxyReports() {
    const { lease, rotations } = this.#world;
    return proxies.map((proxy) => ({
      ...sampleProxyReport,
      ...{ proxy, epoch: lease.epoch, paused: false, secrets: rotations.get(proxy)?.report() },
    })) as never;
  }

  #context(node: string): HostContext {
    const world = this.#world;
    const own = () => world.roles.get(node) as Map<string, string>;
    const isPrimary = () => world.lease.holder === node;
    const context = {
      server: {
        last: () => ({ postgres: { kind: isPrimary() ? 'primary' : 'standby', streaming: !isPrimary() } }),
        node: {
          writePasswords: async () => undefined,
          admitMembers: async () => null,
          takesLogin: async (_kind: LoginKind, { name, password }: { name: string; password: string }) =>
            own().get(name) === password,
          setLogin: async (_kind: LoginKind, { name, password }: { name: string; password: string }) => {
            own().set(name, password);
            return null;
          },
        },
      },
      keeper: {
        view: () => ({ record: world.record, watch: { lease: world.lease }, holdStage: 'valid' }),
        isHolder: isPrimary,
      },
      disk: { reload: () => undefined, facts: () => ({ fencedEpoch: 0, highestEpoch: 0 }) },
      log: (level: string, message: string) => {
        if (level === 'error') this.broken.push(message);
      },
    };
    return context as unknown as HostContext;
  }

  /** Throws with what is broken. */
  async #check(): Promise<void> {
    const { books, ticks } = this.#world;
    for (const kind of ['superuser', 'replication'] as const) {
      for (const [host, own] of books) {
        const { name, password } = own.secrets[kind];
        if (kind === 'replication' && proxies.includes(host)) continue;
        if (!this.takes(name, password))
          throw new Error(`tick ${ticks}: ${host} uses a login of ${kind} that the primary does not take`);
        const here = this.#world.roles.get(host);
        if (here !== undefined && here.get(name) !== password)
          throw new Error(
            `tick ${ticks}: the server of ${host} does not take the login of ${kind} in use there`,
          );
      }
    }
    const client = readSecretText(this.#secrets.currentText('superuser') ?? '');
    if (!this.takes(client.username ?? '', client.password))
      throw new Error(`tick ${ticks}: a client that has just read the secret is locked out by PostgreSQL`);
    // PgBouncer logs in with what it lets in: with nothing that the primary has not taken before.
    for (const [role, password] of this.#world.roles.get(this.#world.lease.holder) ?? [])
      this.#taken.add(`${role} ${password}`);
    for (const proxy of proxies)
      for (const { name, password } of books.get(proxy)?.logins('superuser') ?? [])
        if (!this.#taken.has(`${name} ${password}`))
          throw new Error(`tick ${ticks}: ${proxy} takes a login of ${name} that the primary never took`);
    for (const proxy of proxies) {
      const users = books.get(proxy)?.logins('superuser') ?? [];
      if (!users.some(({ name, password }) => name === client.username && password === client.password))
        throw new Error(`tick ${ticks}: a client that has just read the secret is locked out by ${proxy}`);
    }
    for (const [one, own] of books) {
      for (const [other, its] of books)
        if (!its.shared.accept().includes(own.shared.sign()))
          throw new Error(`tick ${ticks}: ${other} does not take what ${one} signs with`);
    }
    if (this.broken.length > 0) throw new Error(`tick ${ticks}: ${this.broken.join('; ')}`);
  }
}

/** Somebody cancels the rotation, and takes the pending label away. */
class GivenUp extends Error {}

const roles = new Map(
  [installed.superuser, installed.replication].map(({ name, password }) => [name, password]),
);

function book(): SecretBook {
  return new SecretBook('/nowhere/secrets.json', { secrets: installed, secretIds: null }, () => undefined);
}
