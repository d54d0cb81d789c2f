/**
 * The function that rotates the secrets of clusters, one for all of them, as the control plane's other functions are: a secret says by its tags
 * whose and which it is. It is in no VPC and reaches no host; hosts follow what it writes into the record. It may touch only secrets
 * that are set up to be rotated by it.
 */
import { Aws, Duration, Stack, Token, Validations } from 'aws-cdk-lib';
import type { ITableV2 } from 'aws-cdk-lib/aws-dynamodb';
import { ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Code, type Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import { CfnRotationSchedule, type ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { InvalidInput } from '../core/wire/fields.ts';
import type { HostDocuments } from './host-documents.ts';
import { arnInFinding, stateMachineArn } from './names.ts';
import { anyKeyArn, anySecretArn, rotateSecrets, rotationTable } from './rotation-permissions.ts';
import { WorkflowFunction } from './workflow-function.ts';

export interface SecretRotationProps {
  readonly table: ITableV2;
  readonly documents: HostDocuments;
  /** The folder that `bundleFunctions` filled. */
  readonly bundles: string;
  /** The customer's key of table and logs, where there is one. */
  readonly encryptionKey?: IKey;
}

/** Secrets Manager's own bounds. */
const mostDays = 1000;

export class SecretRotation extends Construct {
  readonly lambda: LambdaFunction;

  constructor(
    scope: Construct,
    id: string,
    { table, documents, bundles, encryptionKey }: SecretRotationProps,
  ) {
    super(scope, id);
    const { lambda, role } = new WorkflowFunction(this, 'Rotate', {
      name: 'rotate',
      description: 'Rotates the secrets of clusters, outside of their operations',
      // A step waits four minutes for an operation to end before it leaves the rest to the next attempt.
      timeout: Duration.minutes(5),
      code: Code.fromAsset(bundles),
      environment: {
        TABLE_NAME: table.tableName,
        STATE_MACHINE_ARN: stateMachineArn(this),
        RUN_ACTION_DOCUMENT: documents.runAction.ref,
        FENCE_DOCUMENT: documents.fence.ref,
      },
      statements: [...rotationTable(table, encryptionKey), ...rotateSecrets(this)],
      encryptionKey,
    });
    this.lambda = lambda;
    const resource = (arn: string) => `AwsSolutions-IAM5[Resource::${arnInFinding(this, arn)}]`;
    Validations.of(role).acknowledge(
      {
        id: resource(anySecretArn(this)),
        reason:
          'Secrets of clusters to come: a condition says that they are set up to be rotated by this function.',
      },
      {
        id: resource(anyKeyArn(this)),
        reason:
          'Whatever key such a secret has: a condition says that it is used through Secrets Manager alone.',
      },
    );
    lambda.addPermission('SecretsManager', {
      principal: new ServicePrincipal('secretsmanager.amazonaws.com'),
      sourceAccount: Aws.ACCOUNT_ID,
    });
  }

  /** Has Secrets Manager call the function so often; not at once, for there may be no host yet. */
  schedule(scope: Construct, id: string, secret: ISecret, every: Duration): void {
    const days = every.toDays({ integral: false });
    if (!Token.isUnresolved(days) && !(Number.isInteger(days) && days >= 1 && days <= mostDays))
      throw new InvalidInput('rotateSecrets', `${days} days`, `false, or whole days from 1 to ${mostDays}`);
    const schedule = new CfnRotationSchedule(scope, id, {
      secretId: secret.secretArn,
      rotationLambdaArn: this.lambda.functionArn,
      rotationRules: { automaticallyAfterDays: days },
      rotateImmediatelyOnUpdate: false,
    });
    // Secrets Manager refuses a function that it may not call.
    if (Stack.of(scope) === Stack.of(this)) schedule.node.addDependency(this);
    else Stack.of(scope).addDependency(Stack.of(this));
  }
}
