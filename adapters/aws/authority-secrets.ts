/**
 * The authorities of each cluster in Secrets Manager, a secret a cluster, readable by the function that signs and nobody else. Made at
 * the first need: two functions that make it at once agree, because only one can create it.
 */
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { Authority } from '../../core/model/tls.ts';
import { authoritiesToSecret, parseAuthorities } from '../../core/wire/parse-tls.ts';
import { type AwsConfig, requestLimits } from './dynamo-client.ts';
import { type Answer, type Conditional, ok, storeFailure } from './store-answer.ts';

export interface AuthoritySecrets {
  /** Null: there is no secret yet. */
  read(cluster: string): Promise<Answer<readonly Authority[] | null>>;
  /** Refused when there is one. */
  create(cluster: string, authorities: readonly Authority[]): Promise<Conditional<void>>;
  replace(cluster: string, authorities: readonly Authority[]): Promise<Answer<void>>;
}

const attempts = 3;
const callTimeoutMs = 10_000;

/** `prefix` comes before the cluster's name; `keyId`: a key of the customer's, null for AWS' own. */
export function createAuthoritySecrets(
  config: AwsConfig & { readonly prefix: string; readonly keyId: string | null },
): AuthoritySecrets {
  let loading: Promise<typeof import('@aws-sdk/client-secrets-manager')> | null = null;
  let client: SecretsManagerClient | null = null;
  const name = (cluster: string): string => `${config.prefix}${cluster}`;
  const call = async <T>(
    send: (
      sdk: typeof import('@aws-sdk/client-secrets-manager'),
      client: SecretsManagerClient,
      abortSignal: AbortSignal,
    ) => Promise<T>,
    named: Readonly<Record<string, T>> = {},
  ): Promise<Answer<T>> => {
    try {
      loading ??= import('@aws-sdk/client-secrets-manager');
      const sdk = await loading;
      client ??= new sdk.SecretsManagerClient({
        region: config.region,
        ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
        ...(config.credentials === undefined ? {} : { credentials: config.credentials }),
        maxAttempts: attempts,
        requestHandler: requestLimits,
      });
      return ok(await send(sdk, client, AbortSignal.timeout(callTimeoutMs)));
    } catch (error) {
      const kind = error instanceof Error ? error.name : '';
      if (Object.hasOwn(named, kind)) return ok(named[kind] as T);
      const failure = storeFailure(error);
      if (failure === null) throw error;
      return failure;
    }
  };
  return {
    read: (cluster) =>
      call<readonly Authority[] | null>(
        async (sdk, secrets, abortSignal) => {
          const command = new sdk.GetSecretValueCommand({ SecretId: name(cluster) });
          const { SecretString } = await secrets.send(command, { abortSignal });
          return parseAuthorities(SecretString ?? '');
        },
        { ResourceNotFoundException: null },
      ),
    async create(cluster, authorities) {
      const made = await call<boolean>(
        async (sdk, secrets, abortSignal) => {
          const command = new sdk.CreateSecretCommand({
            Name: name(cluster),
            Description: `Private keys of the certificate authorities of the Leasehold cluster ${cluster}`,
            SecretString: authoritiesToSecret(authorities),
            ...(config.keyId === null ? {} : { KmsKeyId: config.keyId }),
          });
          await secrets.send(command, { abortSignal });
          return true;
        },
        { ResourceExistsException: false },
      );
      if (made.kind !== 'ok') return made;
      return made.value ? ok(undefined) : { kind: 'refused' };
    },
    replace: (cluster, authorities) =>
      call<void>(async (sdk, secrets, abortSignal) => {
        const command = new sdk.PutSecretValueCommand({
          SecretId: name(cluster),
          SecretString: authoritiesToSecret(authorities),
        });
        await secrets.send(command, { abortSignal });
      }),
  };
}
