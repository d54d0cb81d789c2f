/**
 * What a Lambda function is told by its environment, checked once when the module is loaded: a function that was deployed
 * wrongly fails at its first call with the name of what is missing.
 */
import type { Watching } from '../core/health/cluster-metrics.ts';

export interface FunctionEnvironment {
  readonly functionName: string;
  readonly region: string;
  readonly tableName: string;
  readonly stateMachineArn: string;
  readonly runActionDocument: string;
  readonly fenceDocument: string;
  /** Which figures are sent while all is well. */
  readonly watching: Watching;
}

type Variables = Readonly<Record<string, string | undefined>>;

function needIn(env: Variables): (name: string) => string {
  return (name) => {
    const value = env[name];
    if (value === undefined || value === '') throw new Error(`the environment variable ${name} is missing`);
    return value;
  };
}

/** Where the function that signs certificates keeps the authorities. */
export function readAuthorityEnvironment(env: Variables): {
  readonly prefix: string;
  readonly keyId: string | null;
} {
  return { prefix: needIn(env)('AUTHORITY_PREFIX'), keyId: env['AUTHORITY_KEY'] ?? null };
}

export function readEnvironment(env: Variables): FunctionEnvironment {
  const need = needIn(env);
  return {
    functionName: need('AWS_LAMBDA_FUNCTION_NAME'),
    region: need('AWS_REGION'),
    tableName: need('TABLE_NAME'),
    stateMachineArn: need('STATE_MACHINE_ARN'),
    runActionDocument: need('RUN_ACTION_DOCUMENT'),
    fenceDocument: need('FENCE_DOCUMENT'),
    watching: env['WATCHING'] === 'full' ? 'full' : 'essential',
  };
}
