/**
 * What the function may do that rotates secrets, as IAM statements: of a record its secrets alone, of Secrets Manager those secrets alone that
 * are set up to be rotated by it.
 */
import { ArnFormat, Aws, Stack } from 'aws-cdk-lib';
import type { ITableV2 } from 'aws-cdk-lib/aws-dynamodb';
import { Effect, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';
import { throughTheTable } from './key-use.ts';
import { rotationFunctionArn } from './names.ts';
import { namesKeys } from './permissions.ts';

/** What a rotation does to a record: its secrets, against its version and its operation. */
const rotatedAttributes = ['pk', 'sk', 'version', 'operation', 'secrets'];

/** A rotation sees every cluster, changes nothing of a record but its secrets, and tells of it in events. */
export function rotationTable(table: ITableV2, tableKey?: IKey): PolicyStatement[] {
  const keysLike = (...keys: string[]) => ({ 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': keys } });
  return [
    new PolicyStatement({
      sid: 'SeeClusters',
      actions: ['dynamodb:Query'],
      resources: [table.tableArn],
      conditions: { ...keysLike('cluster#*'), ...namesKeys },
    }),
    new PolicyStatement({
      sid: 'WriteSecretsOfRecords',
      actions: ['dynamodb:UpdateItem'],
      resources: [table.tableArn],
      conditions: {
        ...keysLike('cluster#*'),
        'ForAllValues:StringEquals': { 'dynamodb:Attributes': rotatedAttributes },
        Null: { ...namesKeys.Null, 'dynamodb:Attributes': 'false' },
      },
    }),
    new PolicyStatement({
      sid: 'TellOfIt',
      actions: ['dynamodb:PutItem'],
      resources: [table.tableArn],
      conditions: { ...keysLike('cluster#*#events'), ...namesKeys },
    }),
    new PolicyStatement({
      sid: 'RecordsAlone',
      effect: Effect.DENY,
      actions: ['dynamodb:UpdateItem'],
      resources: [table.tableArn],
      conditions: { 'ForAnyValue:StringLike': { 'dynamodb:LeadingKeys': ['cluster#*#*'] } },
    }),
    ...throughTheTable(tableKey),
  ];
}

export function anySecretArn(scope: Construct): string {
  const arnFormat = ArnFormat.COLON_RESOURCE_NAME;
  return Stack.of(scope).formatArn({
    service: 'secretsmanager',
    resource: 'secret',
    resourceName: '*',
    arnFormat,
  });
}

export function anyKeyArn(scope: Construct): string {
  return Stack.of(scope).formatArn({ service: 'kms', resource: 'key', resourceName: '*' });
}

/** Those secrets alone that are set up to be rotated by this very function, and keys through Secrets Manager alone. */
export function rotateSecrets(scope: Construct): PolicyStatement[] {
  return [
    new PolicyStatement({
      sid: 'SecretsRotatedByThis',
      actions: [
        'secretsmanager:DescribeSecret',
        'secretsmanager:GetSecretValue',
        'secretsmanager:PutSecretValue',
        'secretsmanager:UpdateSecretVersionStage',
      ],
      resources: [anySecretArn(scope)],
      conditions: {
        StringEquals: { 'secretsmanager:resource/AllowRotationLambdaArn': rotationFunctionArn(scope) },
      },
    }),
    new PolicyStatement({
      sid: 'KeysThroughSecretsManager',
      actions: ['kms:Decrypt', 'kms:GenerateDataKey'],
      resources: [anyKeyArn(scope)],
      conditions: {
        StringEquals: { 'kms:ViaService': `secretsmanager.${Aws.REGION}.${Aws.URL_SUFFIX}` },
      },
    }),
  ];
}
