/** The embedded Secrets Manager on a port of its own, for what asks nothing else of AWS. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AwsError } from '../../local/aws/aws-error.ts';
import { openSecretsManager } from '../../local/aws/secrets-manager.ts';
import type { JsonService } from '../../local/aws/server.ts';
import { readBody, send, sendJsonError, targetOf } from '../../local/aws/wire.ts';

export interface SecretsManager {
  readonly url: string;
  close(): Promise<void>;
}

export async function startSecretsManager(
  secrets: Readonly<Record<string, string>>,
): Promise<SecretsManager> {
  const service = openSecretsManager({
    ...{ file: null, region: 'us-east-1', accountId: '000000000000' },
    invoke: () => Promise.reject(new Error('nothing is rotated here')),
  });
  for (const [name, text] of Object.entries(secrets))
    service.ensure({ name, text, tags: {}, rotationFunctionArn: null });
  return await serveSecretsManager(service);
}

export async function serveSecretsManager(service: Pick<JsonService, 'handle'>): Promise<SecretsManager> {
  const contentType = 'application/x-amz-json-1.1';
  const server = createServer(async (request, response) => {
    const target = targetOf(request);
    const operation = target.kind === 'json' && target.service === 'secretsmanager' ? target.operation : '';
    try {
      const answer = await service.handle(operation, JSON.parse(String(await readBody(request))));
      send(response, 200, contentType, JSON.stringify(answer));
    } catch (error) {
      if (!(error instanceof AwsError)) throw error;
      sendJsonError(response, contentType, error);
    }
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
