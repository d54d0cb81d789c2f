/**
 * Which version of each of a cluster's secrets is in use, and which is to follow: version ids as Secrets Manager gives them, never a
 * secret itself. The record holds the intent, the reports what each host has come to; a host fetches the texts by its own right.
 *
 * Logins alternate between two roles of PostgreSQL, so that the password in use is never changed: see
 * docs/decisions/2026-11-29-rotation-alternates-two-roles.md.
 */
export const secretKinds = ['superuser', 'replication', 'cluster'] as const;

export type SecretKind = (typeof secretKinds)[number];

/** Those that are logins of PostgreSQL; the other is the text that agents prove themselves to one another with. */
export type LoginKind = Exclude<SecretKind, 'cluster'>;

export function isLogin(kind: SecretKind): kind is LoginKind {
  return kind !== 'cluster';
}

/**
 * States: `next` null (nothing is rotated) -> `offered`, hosts make ready to take either -> `used`, hosts use the next one and still take
 * either -> `next` null again, with that version as `current`. From `used` back to `offered` when another version is to follow instead.
 */
export interface SecretVersions {
  /** Null: what the hosts were installed with. */
  readonly current: string | null;
  readonly next: { readonly version: string; readonly stage: 'offered' | 'used' } | null;
}

export type ClusterSecrets = Readonly<Record<SecretKind, SecretVersions>>;

const never: SecretVersions = { current: null, next: null };

/** What a record without the attribute means. */
export const neverRotated: ClusterSecrets = { superuser: never, replication: never, cluster: never };

/** What one host says of one secret; version ids. */
export interface SecretUse {
  /** Null: what it was installed with. */
  readonly uses: string | null;
  /** The version that it could use from now on, as it has seen for itself; null when there is none but the one in use. */
  readonly ready: string | null;
}

/** A kind that is missing: the host does not have that secret, or is just changing over. */
export type HostSecretUse = Readonly<Partial<Record<SecretKind, SecretUse>>>;

const suffix = '_alt';

/** The role that a login was first made for; the other one is a member of it. */
export function baseRole(role: string): string {
  return role.endsWith(suffix) && role.length > suffix.length ? role.slice(0, -suffix.length) : role;
}

/** The role that the next version is for. */
export function otherRole(role: string): string {
  const base = baseRole(role);
  return base === role ? `${base}${suffix}` : base;
}

/** Two logins that alternate between the same two roles: the password of one would be the other's. */
export function shareRoles(one: string, other: string): boolean {
  return baseRole(one) === baseRole(other);
}
