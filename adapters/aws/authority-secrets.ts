/**
 * The authorities of each cluster in Secrets Manager, a secret a cluster, readable by the function that signs and nobody else. Made at
 * the first need: two functions that make it at once agree, because only one can create it.
 */
import type { Authority } from '../../core/model/tls.ts';
import { authoritiesToSecret, parseAuthorities } from '../../core/wire/parse-tls.ts';
import type { AwsConfig } from './dynamo-client.ts';
import { callLimit, secretsManagerOnce } from './secrets-client.ts';
import { type Answer, answerOf, type Conditional, ok } from './store-answer.ts';

export interface AuthoritySecrets {
  /** Null: there is no secret yet. */
  read(cluster: string): Promise<Answer<readonly Authority[] | null>>;
  /** Refused when there is one. */
  create(cluster: string, authorities: readonly Authority[]): Promise<Conditional<void>>;
  replace(cluster: string, authorities: readonly Authority[]): Promise<Answer<void>>;
}

/** `prefix` comes before the cluster's name; `keyId`: a key of the customer's, null for AWS' own. */
export function createAuthoritySecrets(
  config: AwsConfig & { readonly prefix: string; readonly keyId: string | null },
): AuthoritySecrets {
  const loaded = secretsManagerOnce(config);
  const name = (cluster: string): string => `${config.prefix}${cluster}`;
  return {
    read: (cluster) =>
      answerOf<readonly Authority[] | null>({ ResourceNotFoundException: null }, async () => {
        const { sdk, client } = await loaded();
        const command = new sdk.GetSecretValueCommand({ SecretId: name(cluster) });
        return parseAuthorities((await client.send(command, callLimit())).SecretString ?? '');
      }),
    async create(cluster, authorities) {
      const made = await answerOf<boolean>({ ResourceExistsException: false }, async () => {
        const { sdk, client } = await loaded();
        const command = new sdk.CreateSecretCommand({
          Name: name(cluster),
          Description: `Private keys of the certificate authorities of the Leasehold cluster ${cluster}`,
          SecretString: authoritiesToSecret(authorities),
          ...(config.keyId === null ? {} : { KmsKeyId: config.keyId }),
        });
        await client.send(command, callLimit());
        return true;
      });
      if (made.kind !== 'ok') return made;
      return made.value ? ok(undefined) : { kind: 'refused' };
    },
    replace: (cluster, authorities) =>
      answerOf<void>({}, async () => {
        const { sdk, client } = await loaded();
        const command = new sdk.PutSecretValueCommand({
          SecretId: name(cluster),
          SecretString: authoritiesToSecret(authorities),
        });
        await client.send(command, callLimit());
      }),
  };
}
