/** The embedded Secrets Manager as AWS' own client sees it: versions and labels by the rules of AWS' documentation, and a rotation that is called. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SecretsManager } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createSecretVault } from '../../adapters/aws/secret-vault.ts';
import { openSecretsManager } from '../../local/aws/secrets-manager.ts';
import { serveSecretsManager } from '../support/secrets-manager.ts';
import { clientOptions } from './fixtures/endpoints.ts';

const folder = mkdtempSync(join(tmpdir(), 'leasehold-secrets-'));
const file = join(folder, 'secrets.json');
const calls: { Step: string; ClientRequestToken: string }[] = [];
let failing = '';
const options = {
  ...{ file, region: 'us-east-1', accountId: '000000000000', attempts: 3, againAfterMs: 5 },
  invoke: async (_arn: string, payload: string) => {
    const call = JSON.parse(payload);
    calls.push(call);
    if (call.Step !== failing) return { payload: 'null' };
    failing = '';
    return {
      payload: '{"errorType":"RotationWaits","errorMessage":"busy"}',
      functionError: 'Unhandled' as const,
    };
  },
};
let served: Awaited<ReturnType<typeof serveSecretsManager>>;
let client: SecretsManager;
beforeAll(async () => {
  served = await serveSecretsManager(openSecretsManager(options));
  client = new SecretsManager(clientOptions(served.url));
});
afterAll(async () => {
  client.destroy();
  await served.close();
  rmSync(folder, { recursive: true, force: true });
});

test('a value that is put becomes current, the one before previous, and each is read by label or version', async () => {
  const { VersionId: first } = await client.createSecret({ Name: 'a', SecretString: 'one' });
  const { VersionId: second } = await client.putSecretValue({ SecretId: 'a', SecretString: 'two' });
  expect((await client.getSecretValue({ SecretId: 'a' })).SecretString).toBe('two');
  expect((await client.getSecretValue({ SecretId: 'a', VersionId: first ?? '' })).SecretString).toBe('one');
  const { VersionIdsToStages } = await client.describeSecret({ SecretId: 'a' });
  expect(VersionIdsToStages).toEqual({ [first ?? '']: ['AWSPREVIOUS'], [second ?? '']: ['AWSCURRENT'] });
  await expect(client.createSecret({ Name: 'a', SecretString: 'x' })).rejects.toThrow('already exists');
  await expect(client.getSecretValue({ SecretId: 'b' })).rejects.toThrow("can't find the specified secret");
});

test('a version gets one text and no other, and a label is moved only from where its mover says it is', async () => {
  const token = 'a'.repeat(32);
  await client.createSecret({ Name: 'c', SecretString: 'one' });
  const put = { SecretId: 'c', ClientRequestToken: token, VersionStages: ['AWSPENDING'] };
  await client.putSecretValue({ ...put, SecretString: 'two' });
  await client.putSecretValue({ ...put, SecretString: 'two' });
  await expect(client.putSecretValue({ ...put, SecretString: 'three' })).rejects.toThrow('already in use');
  const move = { SecretId: 'c', VersionStage: 'AWSCURRENT', MoveToVersionId: token };
  await expect(client.updateSecretVersionStage(move)).rejects.toThrow('RemoveFromVersionId');
});

test('a rotation calls its four steps in turn, again from the first after one that failed, and a second one is refused meanwhile', async () => {
  await client.createSecret({ Name: 'r', SecretString: 'one' });
  failing = 'testSecret';
  const { VersionId: version = '' } = await client.rotateSecret({ SecretId: 'r', RotationLambdaARN: 'f' });
  await expect(client.rotateSecret({ SecretId: 'r' })).rejects.toThrow("A previous rotation isn't complete");
  await vi.waitFor(() => expect(calls).toHaveLength(7));
  const steps = ['createSecret', 'setSecret', 'testSecret'];
  expect(calls.map(({ Step }) => Step)).toEqual([...steps, ...steps, 'finishSecret']);
  expect(new Set(calls.map(({ ClientRequestToken }) => ClientRequestToken))).toEqual(new Set([version]));
  // It was given no text: nothing of it can be read, and it does not become current by itself.
  await expect(client.getSecretValue({ SecretId: 'r', VersionStage: 'AWSPENDING' })).rejects.toThrow(
    "can't find",
  );
  expect((await client.getSecretValue({ SecretId: 'r' })).SecretString).toBe('one');
});

test('what was kept is there after a restart', () => {
  expect(openSecretsManager(options).currentText('a')).toBe('two');
});

test('the rotation function sees what is not there as a value, and moves what it is asked to move', async () => {
  const vault = createSecretVault(clientOptions(served.url));
  expect(await vault.describe('none')).toEqual({ kind: 'ok', value: null });
  const described = await vault.describe('r');
  const pending = described.kind === 'ok' ? [...(described.value?.labels ?? [])] : [];
  const [[version = ''] = []] = pending.filter(([, labels]) => labels.includes('AWSPENDING'));
  const [[former = ''] = []] = pending.filter(([, labels]) => labels.includes('AWSCURRENT'));
  expect(await vault.read('r', version)).toEqual({ kind: 'ok', value: null });
  expect(await vault.putPending('r', version, 'two')).toEqual({ kind: 'ok', value: true });
  expect(await vault.putPending('r', version, 'other')).toEqual({ kind: 'ok', value: false });
  expect(await vault.makeCurrent('r', version, former)).toMatchObject({ kind: 'ok' });
  expect((await client.getSecretValue({ SecretId: 'r' })).SecretString).toBe('two');
});
