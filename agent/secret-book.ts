/**
 * The secrets of this host by version: those it was installed with, and those that rotations brought, in a file of its state folder that
 * survives the agent. What is in use is read through live objects, so that whoever connects next uses what is in use then.
 * Upholds R2: a text that is in use is never dropped, and which one is in use counts only once it is on disk.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { SharedSecret } from '../adapters/peer/shared-secret.ts';
import { type LoginKind, type SecretKind, secretKinds } from '../core/model/cluster-secrets.ts';
import type { HostConfig, HostSecrets } from '../core/model/host-config.ts';
import { readSecretText } from '../core/wire/parse-cluster-secrets.ts';
import { writeDurably } from './disk-state.ts';

interface Login {
  readonly name: string;
  readonly password: string;
}

/** Versions with their texts; `null` and '' stand for what the host was installed with. */
interface Page {
  /** Where Secrets Manager keeps the secret whose versions these are. */
  readonly from: string | null;
  readonly uses: string | null;
  /** What was used before; undefined: nothing else. */
  readonly former?: string | null;
  readonly texts: Readonly<Record<string, string>>;
}

type Pages = Readonly<Partial<Record<SecretKind, Page>>>;

/** What a host is installed with, and where Secrets Manager keeps it. */
type Installed = Pick<HostConfig, 'secrets' | 'secretIds'>;

export class SecretBook {
  readonly #path: string;
  readonly #installed: HostSecrets;
  readonly #ids: HostConfig['secretIds'];
  readonly #save: (path: string, content: string) => void;
  #pages: Pages;
  /** As the host's configuration has them, with what is in use now in place of what was installed. */
  readonly secrets: HostSecrets;
  readonly shared: SharedSecret;

  /** Throws when the file is there and cannot be understood. */
  constructor(path: string, { secrets, secretIds }: Installed, write = writeInFolder) {
    this.#path = path;
    this.#save = write;
    this.#installed = secrets;
    this.#ids = secretIds;
    this.#pages = readPages(path, secretIds);
    const login = (kind: LoginKind): Login => {
      const inUse = () => this.login(kind, this.uses(kind));
      return {
        get name() {
          return inUse().name;
        },
        get password() {
          return inUse().password;
        },
      };
    };
    const shared = {
      sign: () => this.text('cluster', this.uses('cluster')),
      accept: () => this.#accepted(),
    };
    this.shared = shared;
    this.secrets = {
      superuser: login('superuser'),
      replication: login('replication'),
      get cluster() {
        return shared.sign();
      },
    };
  }

  uses(kind: SecretKind): string | null {
    return this.#page(kind).uses;
  }

  /** Undefined: none but what it uses. */
  former(kind: SecretKind): string | null | undefined {
    return this.#page(kind).former;
  }

  known(kind: SecretKind): readonly string[] {
    return Object.keys(this.#page(kind).texts);
  }

  /** Throws for a version that is not known here. */
  text(kind: SecretKind, version: string | null): string {
    if (version === null)
      return kind === 'cluster' ? this.#installed.cluster : this.#installed[kind].password;
    const text = this.#page(kind).texts[version];
    if (text === undefined) throw new Error(`InvariantViolation: no text of version ${version} of ${kind}`);
    return kind === 'cluster' ? readSecretText(text).password : text;
  }

  login(kind: LoginKind, version: string | null): Login {
    if (version === null) return this.#installed[kind];
    const { username, password } = readSecretText(this.text(kind, version));
    return { name: username ?? this.#installed[kind].name, password };
  }

  /** One login a role: what is in use before what is to follow, that before what was. */
  logins(kind: LoginKind): readonly Login[] {
    const { uses, former, texts } = this.#page(kind);
    const versions = [null, ...(former === undefined ? [] : [former]), ...Object.keys(texts), uses];
    const byRole = new Map(
      versions.map((version) => this.login(kind, version)).map((one) => [one.name, one]),
    );
    return [...byRole.values()];
  }

  add(kind: SecretKind, version: string, text: string): void {
    const page = this.#page(kind);
    this.#write(kind, { ...page, texts: { ...page.texts, [version]: text } });
  }

  use(kind: SecretKind, version: string | null): void {
    this.text(kind, version);
    const page = this.#page(kind);
    this.#write(kind, { ...page, uses: version, former: page.uses });
  }

  dropFormer(kind: SecretKind): void {
    const { former: _former, ...page } = this.#page(kind);
    this.#write(kind, page);
  }

  forget(kind: SecretKind, versions: readonly string[]): void {
    const page = this.#page(kind);
    const texts = Object.entries(page.texts).filter(
      ([version]) => version === page.uses || version === page.former || !versions.includes(version),
    );
    this.#write(kind, { ...page, texts: Object.fromEntries(texts) });
  }

  /** What is in use, what is to follow it, and what was used before until every host uses what follows. */
  #accepted(): readonly string[] {
    const { uses, former, texts } = this.#page('cluster');
    const versions = new Set([uses, ...(former === undefined ? [] : [former]), ...Object.keys(texts)]);
    return [...versions].map((version) => this.text('cluster', version));
  }

  #page(kind: SecretKind): Page {
    return this.#pages[kind] ?? { from: this.#ids?.[kind] ?? null, uses: null, texts: {} };
  }

  #write(kind: SecretKind, page: Page): void {
    const pages = { ...this.#pages, [kind]: page };
    this.#save(this.#path, `${JSON.stringify(pages)}\n`);
    this.#pages = pages;
  }
}

function writeInFolder(path: string, content: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeDurably(path, content);
}

/**
 * A volume that was another cluster's brings its book with it: pages of other secrets than this host's are left out. A host that was not
 * told where its secrets are kept has what it was told.
 */
function readPages(path: string, ids: HostConfig['secretIds']): Pages {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
  const book = parsed(text);
  if (book === null) throw new Error(`${path} is no book of secrets`);
  const pages: Partial<Record<SecretKind, Page>> = {};
  for (const kind of secretKinds) {
    const page = book[kind];
    if (page === undefined || page.from !== ids?.[kind]) continue;
    if (page.uses !== null && typeof page.texts?.[page.uses] !== 'string')
      throw new Error(`${path}: ${kind} has no text of the version in use`);
    pages[kind] = page;
  }
  return pages;
}

/** Null instead of a SyntaxError, whose message would repeat what it could not read. */
function parsed(text: string): Pages | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Pages) : null;
  } catch {
    return null;
  }
}
