/**
 * Secrets Manager as a rotation function uses it. Operating errors are values; each call may be repeated: a version gets one text and no
 * other, and a label that is there is not moved. The client is loaded at the first call.
 */
import type { AwsConfig } from './dynamo-client.ts';
import { callLimit, secretsManagerOnce } from './secrets-client.ts';
import { type Answer, answerOf } from './store-answer.ts';

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

export function createSecretVault(config: AwsConfig): SecretVault {
  const loaded = secretsManagerOnce(config);
  return {
    describe: (id) =>
      answerOf<SecretDescription | null>({ ResourceNotFoundException: null }, async () => {
        const { sdk, client } = await loaded();
        const found = await client.send(new sdk.DescribeSecretCommand({ SecretId: id }), callLimit());
        return {
          arn: found.ARN ?? id,
          tags: new Map((found.Tags ?? []).map(({ Key = '', Value = '' }) => [Key, Value])),
          labels: new Map(Object.entries(found.VersionIdsToStages ?? {})),
        };
      }),
    read: (id, version) =>
      answerOf<string | null>({ ResourceNotFoundException: null }, async () => {
        const { sdk, client } = await loaded();
        const command = new sdk.GetSecretValueCommand({ SecretId: id, VersionId: version });
        return (await client.send(command, callLimit())).SecretString ?? null;
      }),
    putPending: (id, version, text) =>
      answerOf<boolean>({ ResourceExistsException: false }, async () => {
        const { sdk, client } = await loaded();
        const command = new sdk.PutSecretValueCommand({
          ...{ SecretId: id, ClientRequestToken: version, SecretString: text },
          VersionStages: [labels.pending],
        });
        await client.send(command, callLimit());
        return true;
      }),
    makeCurrent: (id, version, former) =>
      answerOf<void>({}, async () => {
        const { sdk, client } = await loaded();
        const command = new sdk.UpdateSecretVersionStageCommand({
          ...{ SecretId: id, VersionStage: labels.current, MoveToVersionId: version },
          ...(former === null ? {} : { RemoveFromVersionId: former }),
        });
        await client.send(command, callLimit());
      }),
  };
}
