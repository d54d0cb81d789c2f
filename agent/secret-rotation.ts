/**
 * Follows a rotation on this host: fetches the versions that the record names, makes the host ready for the next, uses what is to be
 * used, forgets what nobody needs, and says how far it has come. Looks once a round, one look at a time, and never delays a round.
 * What it does is decided by `core/secrets/decide-secret-use.ts`; what being ready means here is the host's business.
 */
import type { Answer } from '../adapters/aws/store-answer.ts';
import type { ClusterRecord } from '../core/model/cluster-record.ts';
import {
  type HostSecretUse,
  isLogin,
  type SecretKind,
  type SecretUse,
} from '../core/model/cluster-secrets.ts';
import { versionsOf } from '../core/secrets/decide-rotation.ts';
import { decideSecretUse, type SecretUseDecision } from '../core/secrets/decide-secret-use.ts';
import type { SecretBook } from './secret-book.ts';

export interface SecretRotationDeps {
  readonly book: SecretBook;
  /** The secrets that this host has a use for. */
  readonly kinds: readonly SecretKind[];
  readonly record: () => ClusterRecord | null;
  /** The text of one version; null: this host does not know where its secrets are kept, and follows no rotation. */
  readonly fetch: ((kind: SecretKind, version: string) => Promise<Answer<string>>) | null;
  /** Makes the host able to use that version; false: not yet. Repeated until it is true, and again in each new epoch. */
  readonly prepare: (kind: SecretKind, version: string) => Promise<boolean>;
  /** False: the host would lock itself out by changing over to that version now; null: what it was installed with. */
  readonly mayUse: (kind: SecretKind, version: string | null) => Promise<boolean>;
  /** False: the version that is offered is not to be fetched yet. */
  readonly mayTake: (kind: SecretKind, version: string) => boolean;
  /** Whatever has to be told that the secrets in use, or those that are taken, are others now. */
  readonly adopt: (kind: SecretKind) => Promise<void>;
  /** What was ready in another epoch is not ready in this one. */
  readonly epoch: () => number;
  /** Not so while the host is still changing over to what it uses. */
  readonly isInUse: (kind: SecretKind) => boolean;
  /** Something that this host says of itself has changed. */
  readonly onChange: () => void;
  readonly now: () => number;
  readonly log: (level: 'info' | 'warn', message: string, fields: Record<string, unknown>) => void;
}

/**
 * After something could not be done, twice as long each time, until the record or the epoch says something new: neither Secrets Manager nor
 * PostgreSQL's log is to be filled with attempts.
 */
const againAfterMs = { first: 1_000, most: 60_000 };

interface Failed {
  /** What it could not do. */
  readonly what: string;
  readonly waitMs: number;
  readonly untilMs: number;
}

export class SecretRotation {
  readonly #deps: SecretRotationDeps;
  readonly #ready = new Map<SecretKind, { readonly version: string; readonly epoch: number }>();
  readonly #failed = new Map<SecretKind, Failed>();
  /** Adopted since this agent started: before, nobody knows what the host's programs were told. */
  readonly #adopted = new Set<SecretKind>();
  #looking = false;

  constructor(deps: SecretRotationDeps) {
    this.#deps = deps;
  }

  /** Undefined: this host follows no rotation. */
  report(): HostSecretUse | undefined {
    const { fetch, kinds, isInUse } = this.#deps;
    if (fetch === null) return undefined;
    const uses = kinds.filter((kind) => isInUse(kind)).map((kind) => [kind, this.#use(kind)] as const);
    return Object.fromEntries(uses);
  }

  /** Not waited for by a round. Never rejects. */
  async look(): Promise<void> {
    if (this.#looking || this.#deps.fetch === null) return;
    this.#looking = true;
    await this.#look().finally(() => {
      this.#looking = false;
    });
  }

  #use(kind: SecretKind): SecretUse {
    return { uses: this.#deps.book.uses(kind), ready: this.#readyFor(kind) };
  }

  /** What a program was told lasts; what PostgreSQL was seen to take may have gone with another epoch's history. */
  #readyFor(kind: SecretKind): string | null {
    const ready = this.#ready.get(kind);
    return ready !== undefined && ready.epoch === this.#deps.epoch() ? ready.version : null;
  }

  async #look(): Promise<void> {
    const { kinds, record, epoch, now, log } = this.#deps;
    for (const kind of kinds) {
      const known = record();
      if (known === null) continue;
      const what = JSON.stringify([versionsOf(known, kind), known.operation?.id ?? null, epoch()]);
      const failed = this.#failed.get(kind);
      const before = failed?.what === what ? failed : undefined;
      if (before !== undefined && now() < before.untilMs) continue;
      const done = await this.#follow(kind, known).catch((error: unknown) => {
        log('warn', 'a rotation could not be followed', { secret: kind, error: String(error) });
        return false;
      });
      const waitMs = Math.min((before?.waitMs ?? againAfterMs.first / 2) * 2, againAfterMs.most);
      if (done) this.#failed.delete(kind);
      else this.#failed.set(kind, { what, waitMs, untilMs: now() + waitMs });
    }
  }

  #decide(kind: SecretKind, record: ClusterRecord): SecretUseDecision {
    const { book, mayTake } = this.#deps;
    const versions = versionsOf(record, kind);
    return decideSecretUse({
      versions,
      known: book.known(kind),
      uses: book.uses(kind),
      former: book.former(kind),
      keepsFormer: isLogin(kind),
      ready: this.#readyFor(kind),
      operationUnderWay: record.operation !== null,
      holdsBack: versions.next !== null && !mayTake(kind, versions.next.version),
    });
  }

  /** False: something is left to do that cannot be done now. */
  async #follow(kind: SecretKind, record: ClusterRecord): Promise<boolean> {
    // With what is here first: one version that cannot be read must not keep a host from another.
    const before = this.#decide(kind, record);
    let done = await this.#changeOver(kind, before);
    for (const version of before.fetch) done = (await this.#fetch(kind, version)) && done;
    const decision = before.fetch.length > 0 ? this.#decide(kind, record) : before;
    if (before.fetch.length > 0) done = (await this.#changeOver(kind, decision)) && done;
    const held = decision.prepare !== null && !(await this.#prepare(kind, decision.prepare));
    return done && !held;
  }

  async #changeOver(kind: SecretKind, decision: SecretUseDecision): Promise<boolean> {
    const { book, adopt, mayUse, log, onChange } = this.#deps;
    const { use } = decision;
    const may = use !== undefined && (await mayUse(kind, use));
    if (may) {
      book.use(kind, use);
      log('info', 'another version of a secret is in use', { secret: kind, version: use });
    }
    if (may || !this.#adopted.has(kind)) {
      this.#adopted.delete(kind);
      await adopt(kind);
      this.#adopted.add(kind);
      onChange();
    }
    if (decision.dropFormer) book.dropFormer(kind);
    if (decision.forget.length > 0) book.forget(kind, decision.forget);
    return may || use === undefined;
  }

  async #fetch(kind: SecretKind, version: string): Promise<boolean> {
    const { fetch, book, log } = this.#deps;
    const answer = await fetch?.(kind, version);
    if (answer?.kind === 'ok') {
      book.add(kind, version, answer.value);
      return true;
    }
    log('warn', 'a version of a secret could not be read', {
      ...{ secret: kind, version },
      ...{ error_kind: answer?.kind, detail: answer?.message },
    });
    return false;
  }

  async #prepare(kind: SecretKind, version: string): Promise<boolean> {
    const { prepare, epoch, onChange, log } = this.#deps;
    // As it was before: an epoch that begins meanwhile makes it ready for nothing.
    const before = epoch();
    if (!(await prepare(kind, version))) return false;
    this.#ready.set(kind, { version, epoch: before });
    log('info', 'ready for another version of a secret', { secret: kind, version });
    onChange();
    return true;
  }
}
