/** Which versions of a cluster's secrets are in use, in the record and in reports; and a secret's text, which hosts and functions read alike. */
import {
  type ClusterSecrets,
  type HostSecretUse,
  type SecretUse,
  type SecretVersions,
  secretKinds,
} from '../model/cluster-secrets.ts';
import { type Fields, InvalidInput, readFields, readId, readNonEmpty, readOneOf } from './fields.ts';
import { itemShape, nonEmpty, nullable, oneOf, optional } from './item-shape.ts';

const versionsShape = itemShape<SecretVersions>({
  current: nullable(nonEmpty),
  next: nullable(
    itemShape<NonNullable<SecretVersions['next']>>({ version: nonEmpty, stage: oneOf(['offered', 'used']) }),
  ),
});

export const clusterSecretsShape = itemShape<ClusterSecrets>({
  superuser: versionsShape,
  replication: versionsShape,
  cluster: versionsShape,
});

const useShape = itemShape<SecretUse>({ uses: nullable(nonEmpty), ready: nullable(nonEmpty) });

export const hostSecretUseShape = itemShape<HostSecretUse>({
  superuser: optional(useShape),
  replication: optional(useShape),
  cluster: optional(useShape),
});

/** The tags by which a secret says whose and which it is. */
export const secretTags = { cluster: 'leasehold:cluster', kind: 'leasehold:secret' } as const;

/** Throws InvalidInput naming the tag that is missing or wrong. */
export function parseSecretTags(tags: ReadonlyMap<string, string>) {
  const { cluster, kind } = secretTags;
  return {
    cluster: readId(tags.get(cluster), `the secret's tag ${cluster}`),
    kind: readOneOf(tags.get(kind), `the secret's tag ${kind}`, secretKinds),
  };
}

/** What a secret's text holds: `{"username": ..., "password": ...}` as Secrets Manager makes it for a database, or the password alone. */
export interface SecretText {
  readonly username: string | null;
  readonly password: string;
}

export function readSecretText(text: string): SecretText {
  const fields = objectIn(text);
  const { username, password } = fields ?? {};
  return {
    username: typeof username === 'string' && username !== '' ? username : null,
    password: typeof password === 'string' ? password : text,
  };
}

/** The same text with another password, and another user where there is one; whatever else it holds stays. */
export function withPassword(text: string, password: string, username: string | null): string {
  const fields = objectIn(text);
  if (fields === null && username === null) return password;
  return JSON.stringify({ ...fields, ...(username === null ? {} : { username }), password });
}

function objectIn(text: string): Fields | null {
  if (!text.startsWith('{')) return null;
  try {
    return readFields(JSON.parse(text), 'secret');
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof InvalidInput) return null;
    throw error;
  }
}

/** The request that Secrets Manager calls a rotation function with. Throws InvalidInput naming its field. */
export function parseRotationRequest<S extends string>(event: unknown, steps: readonly S[]) {
  const fields = readFields(event, 'the request');
  return {
    step: readOneOf(fields['Step'], 'Step', steps),
    secretId: readNonEmpty(fields['SecretId'], 'SecretId'),
    version: readNonEmpty(fields['ClientRequestToken'], 'ClientRequestToken'),
  };
}
