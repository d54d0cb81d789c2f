/**
 * An instance's metadata service (IMDSv2 only) on loopback: what an instance of EC2 asks about itself. A request without a token that was
 * got by PUT is refused with 401, as by an instance that has IMDSv1 turned off.
 */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface InstanceMetadata {
  readonly url: string;
  /** Paths that were asked for, without `/latest/`. */
  readonly asked: string[];
  close(): Promise<void>;
}

export const instanceCredentials = {
  AccessKeyId: 'ASIAEXAMPLEEXAMPLE00',
  SecretAccessKey: 'only-for-tests/only+for+tests',
  Token: 'session-token+of/the=role',
  Expiration: '2099-01-01T00:00:00Z',
  Code: 'Success',
};

const role = 'Leasehold-main-database';

/** `values`: path below `/latest/` to what is answered; a role's credentials are there by themselves. */
export async function startInstanceMetadata(
  values: Readonly<Record<string, string>>,
): Promise<InstanceMetadata> {
  const token = 'token-of-the-metadata-service';
  const all: Record<string, string> = {
    'meta-data/iam/security-credentials/': role,
    [`meta-data/iam/security-credentials/${role}`]: JSON.stringify(instanceCredentials),
    ...values,
  };
  const asked: string[] = [];
  const answer = (request: IncomingMessage): [number, string] => {
    const path = (request.url ?? '').replace(/^\/latest\//, '');
    asked.push(path);
    if (path === 'api/token') {
      const lives = Number(request.headers['x-aws-ec2-metadata-token-ttl-seconds']);
      return request.method === 'PUT' && lives > 0 ? [200, token] : [400, 'no time to live'];
    }
    if (request.headers['x-aws-ec2-metadata-token'] !== token) return [401, 'Unauthorized'];
    const value = all[path];
    return value === undefined ? [404, 'Not Found'] : [200, value];
  };
  const server = createServer((request, response) => {
    const [status, text] = answer(request);
    response.writeHead(status, { 'content-type': 'text/plain' }).end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
