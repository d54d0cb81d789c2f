/** The secrets of the model of a rotation as the rotation function sees them: the embedded Secrets Manager, asked by its own operations. */
import type { SecretVault } from '../../adapters/aws/secret-vault.ts';
import { ok } from '../../adapters/aws/store-answer.ts';

/** `isMishap`: an error that is the test's own, and no answer. */
export function vaultOf(
  ask: (operation: string, input: object) => Promise<unknown>,
  isMishap: (error: unknown) => boolean,
): SecretVault {
  return {
    describe: async (SecretId) => {
      const found = (await ask('DescribeSecret', { SecretId })) as {
        Tags: { Key: string; Value: string }[];
        VersionIdsToStages: Record<string, string[]>;
      };
      const tags = new Map(found.Tags.map(({ Key, Value }) => [Key, Value]));
      return ok({ arn: SecretId, tags, labels: new Map(Object.entries(found.VersionIdsToStages)) });
    },
    read: async (SecretId, VersionId) => {
      const found = await ask('GetSecretValue', { SecretId, VersionId }).catch((error: unknown) => {
        if (isMishap(error)) throw error;
        return { SecretString: null };
      });
      return ok((found as { SecretString: string | null }).SecretString);
    },
    putPending: async (SecretId, ClientRequestToken, SecretString) => {
      await ask('PutSecretValue', {
        SecretId,
        ClientRequestToken,
        SecretString,
        VersionStages: ['AWSPENDING'],
      });
      return ok(true);
    },
    makeCurrent: async (SecretId, MoveToVersionId, RemoveFromVersionId) => {
      const move = { SecretId, VersionStage: 'AWSCURRENT', MoveToVersionId, RemoveFromVersionId };
      await ask('UpdateSecretVersionStage', move);
      return ok(undefined);
    },
  };
}
