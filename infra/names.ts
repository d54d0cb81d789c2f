/**
 * Names that two resources must agree on before either exists: the state machine runs the functions, and the functions start
 * and answer the state machine, so its ARN is built from its name and nothing in the template is circular.
 */
import { ArnFormat, Stack, Token } from 'aws-cdk-lib';
import type { Construct } from 'constructs';

export const stackName = 'Leasehold';
export const clusterTag = 'leasehold:cluster';
/** The steps of the workflow, the sentinel, and who signs certificates. */
export const functionNames = [
  'begin',
  'order',
  'demote',
  'choose',
  'finish',
  'abort',
  'sentinel',
  'certify',
] as const;
export type FunctionName = (typeof functionNames)[number];

/** `orders-eu` as `OrdersEu`, for the ids of a cluster's outputs. */
export function pascalCase(name: string): string {
  return name.replaceAll(/(^|-)([a-z0-9])/g, (_match, _dash, first: string) => first.toUpperCase());
}

/** Known before the function is made, for its own role names it. */
export function rotationFunctionArn(scope: Construct): string {
  return Stack.of(scope).formatArn({
    service: 'lambda',
    resource: 'function',
    resourceName: `${Stack.of(scope).stackName}-rotate`,
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
}

export function stateMachineName(scope: Construct): string {
  return `${Stack.of(scope).stackName}-failover`;
}

export function stateMachineArn(scope: Construct): string {
  return Stack.of(scope).formatArn({
    service: 'states',
    resource: 'stateMachine',
    resourceName: stateMachineName(scope),
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
}

/** Every execution of the state machine. */
export function executionArns(scope: Construct): string {
  return Stack.of(scope).formatArn({
    service: 'states',
    resource: 'execution',
    resourceName: `${stateMachineName(scope)}:*`,
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
}

/** Every security group of the account; a statement that has it asks for the cluster's tag too. */
export function securityGroupArns(scope: Construct): string {
  return Stack.of(scope).formatArn({ service: 'ec2', resource: 'security-group', resourceName: '*' });
}

/** Every EC2 instance of the account; each statement that has it asks for the cluster's tag too. */
export function instanceArns(scope: Construct): string {
  return Stack.of(scope).formatArn({ service: 'ec2', resource: 'instance', resourceName: '*' });
}

/** An ARN as cdk-nag's findings have it: what only the deployment knows, in a stack for any account or region, between angles. */
export function arnInFinding(scope: Construct, arn: string): string {
  const { partition, region, account } = Stack.of(scope);
  return arn
    .replaceAll(partition, Token.isUnresolved(partition) ? '<AWS::Partition>' : partition)
    .replaceAll(region, Token.isUnresolved(region) ? '<AWS::Region>' : region)
    .replaceAll(account, Token.isUnresolved(account) ? '<AWS::AccountId>' : account);
}

/** What comes before a cluster's name in the name of its authorities' secret. */
export function authorityPrefix(scope: Construct): string {
  return `${Stack.of(scope).stackName}-authority/`;
}

/** The authorities' secrets of all clusters: Secrets Manager adds six characters to a name. */
export function authoritySecretArns(scope: Construct): string {
  return Stack.of(scope).formatArn({
    service: 'secretsmanager',
    resource: 'secret',
    resourceName: `${authorityPrefix(scope)}*`,
    arnFormat: ArnFormat.COLON_RESOURCE_NAME,
  });
}
