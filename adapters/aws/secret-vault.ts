/**
 * Secrets Manager as a rotation function uses it. Operating errors are values; each call may be repeated: a version gets one text and no
 * other, and a label that is there is not moved. The client is loaded at the first call.
 */
import { type AwsConfig, requestLimits } from './dynamo-client.ts';
import { type Answer, ok, storeFailure } from './store-answer.ts';

export interface SecretDescription {
  readonly arn: string;
  readonly tags: ReadonlyMap<string, string>;
  /** The labels of each version that has any. */
  readonly labels: ReadonlyMap<string, readonly string[]>;
}

export interface SecretVault {
  /** Null: there is no such secret. */
  describe(id: string): Promise<Answer<SecretDescription | null>>;
  /** Null: no such version, or one without a text. */
  read(id: string, version: string): Promise<Answer<string | null>>;
  /** False: the version has another text already. */
  putPending(id: string, version: string, text: string): Promise<Answer<boolean>>;
  makeCurrent(id: string, version: string, former: string | null): Promise<Answer<void>>;
}

export const labels = { current: 'AWSCURRENT', pending: 'AWSPENDING' } as const;

const attempts = 5;
const callTimeoutMs = 10_000;

export function createSecretVault(config: AwsConfig): SecretVault {
  const load = async () => {
    const sdk = await import('@aws-sdk/client-secrets-manager');
    const client = new sdk.SecretsManagerClient({
      region: config.region,
      ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
      ...(config.credentials === undefined ? {} : { credentials: config.credentials }),
      maxAttempts: attempts,
      requestHandler: requestLimits,
    });
    return { sdk, client };
  };
  let loading: ReturnType<typeof load> | undefined;
  const loaded = () => {
    loading ??= load();
    return loading;
  };
  const limit = () => ({ abortSignal: AbortSignal.timeout(callTimeoutMs) });
  return {
    describe: (id) =>
      call<SecretDescription | null>({ ResourceNotFoundException: null }, async () => {
        const { sdk, client } = await loaded();
        const found = await client.send(new sdk.DescribeSecretCommand({ SecretId: id }), limit());
        return {
          arn: found.ARN ?? id,
          tags: new Map((found.Tags ?? []).map(({ Key = '', Value = '' }) => [Key, Value])),
          labels: new Map(Object.entries(found.VersionIdsToStages ?? {})),
        };
      }),
    read: (id, version) =>
      call<string | null>({ ResourceNotFoundException: null }, async () => {
        const { sdk, client } = await loaded();
        const command = new sdk.GetSecretValueCommand({ SecretId: id, VersionId: version });
        return (await client.send(command, limit())).SecretString ?? null;
      }),
    putPending: (id, version, text) =>
      call<boolean>({ ResourceExistsException: false }, async () => {
        const { sdk, client } = await loaded();
        const command = new sdk.PutSecretValueCommand({
          ...{ SecretId: id, ClientRequestToken: version, SecretString: text },
          VersionStages: [labels.pending],
        });
        await client.send(command, limit());
        return true;
      }),
    makeCurrent: (id, version, former) =>
      call<void>({}, async () => {
        const { sdk, client } = await loaded();
        const command = new sdk.UpdateSecretVersionStageCommand({
          ...{ SecretId: id, VersionStage: labels.current, MoveToVersionId: version },
          ...(former === null ? {} : { RemoveFromVersionId: former }),
        });
        await client.send(command, limit());
      }),
  };
}

/** `named`: errors, by name, that are answers. */
async function call<T>(named: Readonly<Record<string, T>>, send: () => Promise<T>): Promise<Answer<T>> {
  try {
    return ok(await send());
  } catch (error) {
    const name = error instanceof Error ? error.name : '';
    if (Object.hasOwn(named, name)) return ok(named[name] as T);
    const failure = storeFailure(error);
    if (failure === null) throw error;
    return failure;
  }
}
