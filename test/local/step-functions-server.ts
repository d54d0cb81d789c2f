// The smallest HTTP server that AWS's own client can talk to: AWS JSON 1.0 in, AWS JSON 1.0 out.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { SFNClient } from '@aws-sdk/client-sfn';
import { AwsError } from '../../local/aws/aws-error.ts';
import type { StepFunctions } from '../../local/aws/step-functions.ts';

/** Serves Step Functions on a free port of the loopback; the client makes one attempt a request. */
export async function serve(
  stepFunctions: StepFunctions,
): Promise<{ client: SFNClient; close(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body));
    };
    const [service, action = ''] = String(request.headers['x-amz-target']).split('.');
    try {
      if (service !== 'AWSStepFunctions') throw new AwsError('UnknownOperationException', String(service));
      answer(200, await stepFunctions.handle(action, JSON.parse(await text(request))));
    } catch (error) {
      if (error instanceof AwsError) answer(error.httpStatus, { __type: error.code, message: error.message });
      else answer(500, { __type: 'InternalFailure', message: String(error) });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const client = new SFNClient({
    endpoint: `http://127.0.0.1:${port}`,
    region: 'eu-central-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
  });
  return {
    client,
    async close() {
      client.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
