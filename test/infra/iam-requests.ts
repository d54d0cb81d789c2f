/**
 * Requests as services put them to IAM: action, resources and context keys of one call, by AWS' service authorization reference; and the
 * names of the roles they are put to.
 */
import { type FunctionName, functionNames, stackName } from '../../infra/names.ts';
import type { IamRequest, ResourceRequest } from '../support/iam-evaluate.ts';
import type { Roles } from './iam-roles.ts';

export const place = 'us-east-1:000000000000';
export const ec2 = (resource: string, keys: ResourceRequest['keys'] = {}) => ({
  arn: `arn:aws:ec2:${place}:${resource}`,
  keys,
});
const tagged = { 'ec2:ResourceTag/leasehold:cluster': 'main', 'ssm:resourceTag/leasehold:cluster': 'main' };
export const host = ec2('instance/i-0123', tagged);
export const stranger = ec2('instance/i-0666');
export const machine = (name: string) => `arn:aws:states:${place}:stateMachine:${name}`;
export const ours = `${stackName}-failover`;
export const execution = (name: string) => `arn:aws:states:${place}:execution:${name}:main-e2-a1`;
export const document = (name: string) => ({ arn: `arn:aws:ssm:${place}:document/${name}` });
export const on = (action: string, ...resources: (string | ResourceRequest)[]): IamRequest => ({
  action,
  resources: resources.map((one) => (typeof one === 'string' ? { arn: one } : one)),
});

/**
 * DynamoDB tells the partition keys of Query, PutItem and UpdateItem, of each item of a transaction too; `null` leaves them out. On the
 * table, or on what is given below it, as `/index/clusters`.
 */
export function items(
  roles: Roles,
  call: string,
  keys: readonly string[] | null,
  below = '',
  more: NonNullable<ResourceRequest['keys']> = {},
): IamRequest {
  return on(`dynamodb:${call}`, {
    arn: `arn:aws:dynamodb:${place}:table/${roles.stack.tables[0]?.name}${below}`,
    keys: { ...(keys === null ? {} : { 'dynamodb:LeadingKeys': keys }), ...more },
  });
}

export const command = (name: string, instance: ResourceRequest) =>
  on('ssm:SendCommand', document(name), instance);
export const groups = (instance: ResourceRequest, attribute: Record<string, string> = {}) =>
  on(
    'ec2:ModifyInstanceAttribute',
    { arn: instance.arn, keys: { ...instance.keys, ...attribute } },
    ec2('security-group/sg-1', tagged),
  );

export const roleOf = (name: FunctionName) => `Functions${name.charAt(0).toUpperCase()}${name.slice(1)}Role`;
export const database = `${stackName}-main-database`;
export const proxy = `${stackName}-main-proxy`;
export const anyHost = [database, proxy];
/** Those of the workflow and the sentinel: they write the same. */
export const workflowNames = functionNames.filter((name) => name !== 'certify');
export const certify = roleOf('certify');
export const anyFunction = functionNames.map(roleOf);
export const workflow = workflowNames.map(roleOf);
/** The secret of a cluster's authorities, as Secrets Manager completes its name. */
export const authoritySecret = (cluster: string) =>
  `arn:aws:secretsmanager:${place}:secret:${stackName}-authority/${cluster}-AbCdEf`;

export const rotation = 'RotationRotateRole';

/** A call about a secret; `rotatedBy`: the function that it is set up to be rotated by. */
export function secret(call: string, about: { readonly rotatedBy?: string } = {}): IamRequest {
  const { rotatedBy } = about;
  return on(`secretsmanager:${call}`, {
    arn: `arn:aws:secretsmanager:${place}:secret:main-superuser-abc123`,
    keys:
      rotatedBy === undefined
        ? {}
        : {
            'secretsmanager:resource/AllowRotationLambdaArn': `arn:aws:lambda:${place}:function:${rotatedBy}`,
          },
  });
}
