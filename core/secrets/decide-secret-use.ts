/**
 * What one host does about one secret now: which versions it fetches, for which it makes itself ready, which it uses and which it forgets.
 * Upholds R2: a version that the record names, or that is in use here, is never forgotten, and nothing is used that the host has not got.
 */
import type { ClusterRecord } from '../model/cluster-record.ts';
import type { SecretKind, SecretVersions } from '../model/cluster-secrets.ts';
import type { Lease } from '../model/lease.ts';
import type { NodeReport } from '../model/node-report.ts';

export interface SecretUseState {
  /** As the record says. */
  readonly versions: SecretVersions;
  /** Whose texts this host has. */
  readonly known: readonly string[];
  /** Null: what it was installed with. */
  readonly uses: string | null;
  /** The version it used before; undefined: none. */
  readonly former: string | null | undefined;
  /** Logins: clients of a proxy may still log in by the former one, which PostgreSQL takes until the next rotation. */
  readonly keepsFormer: boolean;
  /** For which it has made itself ready, in this epoch. */
  readonly ready: string | null;
  readonly operationUnderWay: boolean;
  /** The version that is offered is not to be taken yet: this host's programs would use it before PostgreSQL knows it. */
  readonly holdsBack: boolean;
}

export interface SecretUseDecision {
  readonly fetch: readonly string[];
  /** Make this host ready for that version. */
  readonly prepare: string | null;
  /** Undefined: all stays as it is. */
  readonly use: string | null | undefined;
  readonly forget: readonly string[];
  /** What was used before is taken no more: every host uses what follows it. */
  readonly dropFormer: boolean;
}

export function decideSecretUse(state: SecretUseState): SecretUseDecision {
  const { known, uses, former, keepsFormer, ready, operationUnderWay, holdsBack } = state;
  const { current, next } = state.versions;
  const named = [current, next?.version].filter((version) => version != null);
  const kept = [...named, uses, former];
  const wanted = wantedVersion(state);
  const has = wanted === null || known.includes(wanted);
  const changes = has && wanted !== uses && !operationUnderWay;
  const offered = next !== null && known.includes(next.version) && ready !== next.version;
  return {
    fetch: named.filter(
      (version) =>
        !known.includes(version) && !(holdsBack && next?.stage === 'offered' && version === next.version),
    ),
    // One that is in use, or will be in a moment, is as ready as it can be.
    prepare: offered && next.version !== (changes ? wanted : uses) ? next.version : null,
    // A changed login makes receivers connect anew: not in the middle of a hand-over, and either version will do.
    use: changes ? wanted : undefined,
    forget: known.filter((version) => !kept.includes(version)),
    dropFormer: !keepsFormer && former !== undefined && next === null && wanted === uses,
  };
}

/** A record that was made anew knows of no rotation: then what is in use stays so. */
function wantedVersion({ versions: { current, next }, uses }: SecretUseState): string | null {
  if (next?.stage === 'used') return next.version;
  if (current === null && next === null) return uses;
  return current;
}

/** The primary of this epoch has said that it takes that version, and no operation is about to replace it. */
export function primaryTakes(
  view: {
    readonly record: ClusterRecord | null;
    readonly lease: Lease | null;
    readonly nodes: readonly NodeReport[];
  },
  kind: SecretKind,
  version: string,
): boolean {
  const { record, lease, nodes } = view;
  if (record === null || record.operation !== null || lease?.state !== 'held') return false;
  const report = nodes.find(({ node }) => node === lease.holder);
  if (report?.epoch !== lease.epoch) return false;
  const use = report.secrets?.[kind];
  return use?.ready === version || use?.uses === version;
}
