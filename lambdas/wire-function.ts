/**
 * Puts one function together: clients once for all its invocations, a logger, metrics and a tracer, and around each call one
 * line at its begin and end. Errors are thrown on with their name, which is what the state machine matches.
 */
import { Logger } from '@aws-lambda-powertools/logger';
import { Tracer } from '@aws-lambda-powertools/tracer';
import type { Context } from 'aws-lambda';
import { ulid } from 'ulid';
import { type AwsClients, type AwsService, createAwsClients } from '../adapters/aws/clients.ts';
import { createClusterStore } from '../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../adapters/aws/dynamo-client.ts';
import { monotonicMs, sleepMs } from '../adapters/clock.ts';
import { createAwsPorts } from '../adapters/workflow/aws-ports.ts';
import type { WorkflowDeps } from '../adapters/workflow/ports.ts';
import { type FunctionEnvironment, readEnvironment } from './environment.ts';
import { createMeasure } from './publish-metrics.ts';

/** A step of the workflow as a Lambda handler. */
export type Handler = (event: unknown, context: Context) => Promise<unknown>;

export interface Wiring {
  readonly deps: WorkflowDeps;
  readonly environment: FunctionEnvironment;
  readonly client: ReturnType<typeof createDynamoClient>;
  readonly clients: AwsClients;
}

const serviceName = 'leasehold';

export function wireFunction(
  name: string,
  services: readonly AwsService[],
  step: (wiring: Wiring, event: unknown) => Promise<unknown>,
): Handler {
  const environment = readEnvironment(process.env);
  const logger = new Logger({ serviceName, persistentKeys: { function: name } });
  const tracer = new Tracer({ serviceName });
  const client = createDynamoClient({ region: environment.region });
  const clients = createAwsClients({ region: environment.region });
  // Loaded while the first event is read, not when the first host is waiting.
  void clients.warm(services);
  const deps: WorkflowDeps = {
    who: name,
    storeOf: (cluster) => createClusterStore({ client, tableName: environment.tableName, cluster }),
    ...createAwsPorts(clients, environment),
    now: monotonicMs,
    sleep: sleepMs,
    time: () => new Date().toISOString(),
    newId: () => ulid(),
    log: (level, message, fields) => logger[level](message, { ...fields }),
    measure: createMeasure(serviceName),
    watching: environment.watching,
  };
  return async (event, context) => {
    logger.addContext(context);
    const startedMs = monotonicMs();
    try {
      const result = await traced(tracer, name, () => step({ deps, environment, client, clients }, event));
      logger.info('step done', { ms: Math.round(monotonicMs() - startedMs) });
      return result;
    } catch (error) {
      logger.warn('step failed', {
        error_kind: error instanceof Error ? error.name : 'unknown',
        detail: error instanceof Error ? error.message : String(error),
        ms: Math.round(monotonicMs() - startedMs),
      });
      throw error;
    }
  };
}

async function traced<T>(tracer: Tracer, name: string, work: () => Promise<T>): Promise<T> {
  if (!tracer.isTracingEnabled()) return await work();
  const parent = tracer.getSegment();
  const segment = parent?.addNewSubsegment(`## ${name}`);
  if (segment !== undefined) tracer.setSegment(segment);
  try {
    return await work();
  } catch (error) {
    tracer.addErrorAsMetadata(error instanceof Error ? error : new Error(String(error)));
    throw error;
  } finally {
    segment?.close();
    if (parent !== undefined) tracer.setSegment(parent);
  }
}
