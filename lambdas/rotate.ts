/** The rotation of a cluster's secrets as a Lambda function: Secrets Manager calls it with one step at a time. */
import { randomInt } from 'node:crypto';
import { createSecretVault } from '../adapters/aws/secret-vault.ts';
import { rotateSecret } from '../adapters/workflow/rotate-secret.ts';
import { wireFunction } from './wire-function.ts';

/** Less than the function may take: its own error is to tell what it waits for. */
const patienceMs = 240_000;
/** As the secrets are made at first: no file format, connection string or shell needs any of them escaped. */
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const length = 40;

const newPassword = () => Array.from({ length }, () => letters[randomInt(letters.length)]).join('');

export const handler = wireFunction('rotate', [], async ({ deps, environment }, event) => {
  const vault = createSecretVault({ region: environment.region });
  return await rotateSecret({ ...deps, vault, newPassword, patienceMs }, event);
});
