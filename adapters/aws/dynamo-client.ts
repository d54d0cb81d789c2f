/**
 * The DynamoDB client: connections are kept alive, made or given up quickly, and no request is repeated behind the caller's
 * back. A repeated lease write would be sent later than the time from which its holder counts its deadline.
 */
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient } from '@aws-sdk/lib-dynamodb';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface AwsConfig {
  readonly region: string;
  /** Absent: the SDK's own choice, AWS_ENDPOINT_URL included. */
  readonly endpoint?: string;
  /** Absent: the SDK's own chain. */
  readonly credentials?: Credentials;
}

/** For every request of every client; calls with a `timeoutMs` of their own are given up earlier. */
export const requestLimits = {
  connectionTimeout: 500,
  requestTimeout: 2000,
  throwOnRequestTimeout: true,
  socketAcquisitionWarningTimeout: 5000,
} as const;

/** The caller destroys it when done. */
export function createDynamoClient(config: AwsConfig): DynamoDBDocumentClient {
  const client = new DynamoDBClient({
    region: config.region,
    ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
    ...(config.credentials === undefined ? {} : { credentials: config.credentials }),
    maxAttempts: 1,
    requestHandler: { ...requestLimits, httpAgent: agentOptions, httpsAgent: agentOptions },
  });
  return DynamoDBDocumentClient.from(client);
}

const agentOptions = { keepAlive: true, keepAliveMsecs: 1000, maxSockets: 50 };
