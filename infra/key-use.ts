/**
 * Who may use a key of the customer's, and for what: CloudWatch for log groups, principals for the table and for secrets, each through
 * the one service only. The policy of a key that another stack owns cannot be changed from here; docs/aws.md says what it needs.
 */
import { Aws, Stack } from 'aws-cdk-lib';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';

const forItems = [
  'kms:Decrypt',
  'kms:DescribeKey',
  'kms:Encrypt',
  'kms:GenerateDataKey',
  'kms:GenerateDataKeyWithoutPlaintext',
  'kms:ReEncryptFrom',
  'kms:ReEncryptTo',
];

/** What reading and writing a table takes besides, when its key is the customer's. */
export function throughTheTable(key: IKey | undefined): PolicyStatement[] {
  return key === undefined ? [] : [through('dynamodb', key, forItems, 'KeyOfTheTable')];
}

/** What reading a secret takes besides, when its key is the customer's. */
export function throughSecrets(key: IKey): PolicyStatement {
  return through('secretsmanager', key, ['kms:Decrypt'], 'KeyOfTheSecrets');
}

/** What making and changing a secret takes besides. */
export function writeThroughSecrets(key: IKey): PolicyStatement {
  return through('secretsmanager', key, ['kms:Decrypt', 'kms:GenerateDataKey'], 'KeyOfTheAuthorities');
}

/** Lets CloudWatch encrypt this account's log groups, and Step Functions' log delivery write to them. */
export function letLogsUse(key: IKey, scope: Construct): void {
  const logGroups = Stack.of(scope).formatArn({ service: 'logs', resource: '*' });
  key.addToResourcePolicy(
    new PolicyStatement({
      sid: 'LogGroups',
      principals: [new ServicePrincipal(`logs.${Aws.REGION}.${Aws.URL_SUFFIX}`)],
      actions: ['kms:Encrypt', 'kms:Decrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:DescribeKey'],
      resources: ['*'],
      conditions: { ArnLike: { 'kms:EncryptionContext:aws:logs:arn': logGroups } },
    }),
  );
  key.addToResourcePolicy(
    new PolicyStatement({
      sid: 'LogDelivery',
      principals: [new ServicePrincipal('delivery.logs.amazonaws.com')],
      actions: ['kms:Decrypt', 'kms:GenerateDataKey*'],
      resources: ['*'],
      conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
    }),
  );
}

function through(service: string, key: IKey, actions: string[], sid: string): PolicyStatement {
  return new PolicyStatement({
    sid,
    actions,
    resources: [key.keyArn],
    conditions: { StringEquals: { 'kms:ViaService': `${service}.${Aws.REGION}.${Aws.URL_SUFFIX}` } },
  });
}
