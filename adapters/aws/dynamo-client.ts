/**
 * The DynamoDB client: the few operations that are used, over the SDK's document client. Connections are kept alive, made or given up
 * quickly, and no request is repeated behind the caller's back: a repeated lease write would be sent later than the time from which
 * its holder counts its deadline.
 */
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import {
  DeleteCommand,
  type DeleteCommandInput,
  DynamoDBDocumentClient,
  GetCommand,
  type GetCommandInput,
  type GetCommandOutput,
  PutCommand,
  type PutCommandInput,
  QueryCommand,
  type QueryCommandInput,
  type QueryCommandOutput,
  ScanCommand,
  type ScanCommandInput,
  type ScanCommandOutput,
  UpdateCommand,
  type UpdateCommandInput,
  type UpdateCommandOutput,
} from '@aws-sdk/lib-dynamodb';

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

export interface RequestOptions {
  readonly abortSignal?: AbortSignal;
}

/** Attributes are plain values. Errors are the SDK's. */
export interface DynamoClient {
  get(input: GetCommandInput, o?: RequestOptions): Promise<Pick<GetCommandOutput, 'Item'>>;
  put(input: PutCommandInput, o?: RequestOptions): Promise<void>;
  remove(input: DeleteCommandInput, o?: RequestOptions): Promise<void>;
  update(input: UpdateCommandInput, o?: RequestOptions): Promise<Pick<UpdateCommandOutput, 'Attributes'>>;
  query(
    input: QueryCommandInput,
    o?: RequestOptions,
  ): Promise<Pick<QueryCommandOutput, 'Items' | 'LastEvaluatedKey'>>;
  scan(
    input: ScanCommandInput,
    o?: RequestOptions,
  ): Promise<Pick<ScanCommandOutput, 'Items' | 'LastEvaluatedKey'>>;
  /** Where requests go. */
  endpoint(): Promise<URL>;
  /** Closes the connections. */
  destroy(): void;
}

/** For every request of every client; calls with a `timeoutMs` of their own are given up earlier. */
export const requestLimits = {
  connectionTimeout: 500,
  requestTimeout: 5000,
  throwOnRequestTimeout: true,
  socketAcquisitionWarningTimeout: 5000,
} as const;

const agentOptions = { keepAlive: true, keepAliveMsecs: 1000, maxSockets: 50 };

/** The caller destroys it when done. */
export function createDynamoClient(config: AwsConfig): DynamoClient {
  const client = DynamoDBDocumentClient.from(
    new DynamoDBClient({
      region: config.region,
      ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
      ...(config.credentials === undefined ? {} : { credentials: config.credentials }),
      maxAttempts: 1,
      requestHandler: { ...requestLimits, httpAgent: agentOptions, httpsAgent: agentOptions },
    }),
  );
  return {
    get: (input, o) => client.send(new GetCommand(input), o),
    put: async (input, o) => void (await client.send(new PutCommand(input), o)),
    remove: async (input, o) => void (await client.send(new DeleteCommand(input), o)),
    update: (input, o) => client.send(new UpdateCommand(input), o),
    query: (input, o) => client.send(new QueryCommand(input), o),
    scan: (input, o) => client.send(new ScanCommand(input), o),
    endpoint: async () => {
      const configured = await client.config.endpoint?.();
      if (configured === undefined)
        return new URL(process.env['AWS_ENDPOINT_URL'] ?? `https://dynamodb.${config.region}.amazonaws.com`);
      const { protocol, hostname, port } = configured;
      return new URL(`${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`);
    },
    destroy: () => client.destroy(),
  };
}
