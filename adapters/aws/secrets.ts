/**
 * Secrets Manager as a host asks it: one secret's text, the current one or that of a version. Read when a host is configured, by its
 * doctor and in a rotation, never on the way of an operation, so the client is loaded when it is needed and let go at once.
 */
import type { SecretKind } from '../../core/model/cluster-secrets.ts';
import type { SecretIds } from '../../core/model/host-config.ts';
import type { AwsConfig } from './dynamo-client.ts';
import { callLimit, loadSecretsManager } from './secrets-client.ts';
import { type Answer, ok, storeFailure } from './store-answer.ts';

/** `denied` also for a secret that is not there: the service's own words say which. `id`: a name or an ARN; `version`: the current one. */
export async function readSecretValue(
  config: AwsConfig,
  id: string,
  version?: string,
): Promise<Answer<string>> {
  const { sdk, client } = await loadSecretsManager(config);
  try {
    const command = new sdk.GetSecretValueCommand({
      SecretId: id,
      ...(version === undefined ? {} : { VersionId: version }),
    });
    const { SecretString } = await client.send(command, callLimit());
    if (SecretString === undefined || SecretString === '')
      return { kind: 'denied', message: 'the secret has no text' };
    return ok(SecretString);
  } catch (error) {
    if (error instanceof Error && error.name === 'ResourceNotFoundException')
      return { kind: 'denied', message: error.message };
    const failure = storeFailure(error);
    if (failure === null) throw error;
    return failure;
  } finally {
    client.destroy();
  }
}

/** Null where the host was not told where its secrets are kept. */
export function versionReader(host: {
  readonly region: string;
  readonly secretIds: SecretIds | null;
}): ((kind: SecretKind, version: string) => Promise<Answer<string>>) | null {
  const { region, secretIds } = host;
  if (secretIds === null) return null;
  return (kind, version) => readSecretValue({ region }, secretIds[kind], version);
}
