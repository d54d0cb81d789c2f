/** Secrets Manager on loopback, as far as a host asks it: GetSecretValue, by a secret's name. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SecretsManager {
  readonly url: string;
  close(): Promise<void>;
}

export async function startSecretsManager(
  secrets: Readonly<Record<string, string>>,
): Promise<SecretsManager> {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      const asked = request.headers['x-amz-target'] === 'secretsmanager.GetSecretValue';
      const { SecretId = '' } = JSON.parse(body) as { SecretId?: string };
      const text = asked ? secrets[SecretId] : undefined;
      const answer =
        text === undefined
          ? {
              __type: 'ResourceNotFoundException',
              Message: "Secrets Manager can't find the specified secret.",
            }
          : { Name: SecretId, SecretString: text };
      response.writeHead(text === undefined ? 400 : 200, { 'content-type': 'application/x-amz-json-1.1' });
      response.end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
