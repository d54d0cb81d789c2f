/** The client of Secrets Manager, loaded at its first use: no operation and no idle agent needs it. */
import { type AwsConfig, requestLimits } from './dynamo-client.ts';

const attempts = 5;
const callTimeoutMs = 10_000;

/** The caller destroys `client` when done. */
export async function loadSecretsManager(config: AwsConfig) {
  const sdk = await import('@aws-sdk/client-secrets-manager');
  const client = new sdk.SecretsManagerClient({
    region: config.region,
    ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
    ...(config.credentials === undefined ? {} : { credentials: config.credentials }),
    maxAttempts: attempts,
    requestHandler: requestLimits,
  });
  return { sdk, client };
}

/** The same one at each call. */
export function secretsManagerOnce(config: AwsConfig): () => ReturnType<typeof loadSecretsManager> {
  let loading: ReturnType<typeof loadSecretsManager> | undefined;
  return () => {
    loading ??= loadSecretsManager(config);
    return loading;
  };
}

/** For each call: all its attempts together. */
export const callLimit = () => ({ abortSignal: AbortSignal.timeout(callTimeoutMs) });
