/**
 * Who may do what, as IAM statements: the functions of the workflow over all clusters, the agents each over its own. Partition keys
 * separate the classes of writers, because IAM sees no sort key: a proxy cannot write a lease, and no function writes a
 * node's report.
 */

import { Stack } from 'aws-cdk-lib';
import type { ITableV2 } from 'aws-cdk-lib/aws-dynamodb';
import { Effect, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import type { IBucket } from 'aws-cdk-lib/aws-s3';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { CfnDocument } from 'aws-cdk-lib/aws-ssm';
import type { Construct } from 'constructs';
import { throughSecrets, throughTheTable, writeThroughSecrets } from './key-use.ts';
import {
  authoritySecretArns,
  clusterTag,
  executionArns,
  instanceArns,
  securityGroupArns,
  stateMachineArn,
} from './names.ts';

/** What a host fetches when it boots. */
export interface BootReads {
  readonly secrets: readonly ISecret[];
  /** The object that holds the agent. */
  readonly artifact: { readonly bucket: IBucket; readonly key: string };
}

const writes = ['dynamodb:PutItem', 'dynamodb:UpdateItem'];

/** `ForAllValues` holds for a request that has no partition key at all: with it, every Allow asks that there is one. */
export const namesKeys = { Null: { 'dynamodb:LeadingKeys': 'false' } };

/**
 * Reads of every cluster, writes of records, leases, operations and events; never of what hosts say of themselves. `tableKey` is the
 * customer's key of the table, where it has one.
 */
export function workflowTable(table: ITableV2, tableKey?: IKey): PolicyStatement[] {
  return [
    new PolicyStatement({
      sid: 'ClustersTable',
      actions: ['dynamodb:Query', ...writes],
      resources: [table.tableArn],
      conditions: { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['cluster#*'] }, ...namesKeys },
    }),
    new PolicyStatement({
      sid: 'ReportsAreTheHosts',
      effect: Effect.DENY,
      actions: writes,
      resources: [table.tableArn],
      conditions: {
        'ForAnyValue:StringLike': {
          'dynamodb:LeadingKeys': [
            'cluster#*#nodes',
            'cluster#*#proxies',
            'cluster#*#database-requests',
            'cluster#*#proxy-requests',
            'cluster#*#certificates',
          ],
        },
      },
    }),
    ...throughTheTable(tableKey),
  ];
}

/**
 * Reads what hosts ask and say of themselves, writes certificates and events and nothing else, and keeps the authorities' private keys, which no
 * other role of ours can read. `key` is the customer's, where there is one.
 */
export function signCertificates(scope: Construct, table: ITableV2, key?: IKey): PolicyStatement[] {
  return [
    new PolicyStatement({
      sid: 'SeeClusters',
      actions: ['dynamodb:Query'],
      resources: [table.tableArn],
      conditions: { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['cluster#*'] }, ...namesKeys },
    }),
    new PolicyStatement({
      sid: 'NoOperations',
      effect: Effect.DENY,
      actions: ['dynamodb:Query'],
      resources: [table.tableArn],
      conditions: {
        'ForAnyValue:StringLike': { 'dynamodb:LeadingKeys': ['cluster#*#operations', 'cluster#*#events'] },
      },
    }),
    new PolicyStatement({
      sid: 'WriteCertificates',
      actions: ['dynamodb:PutItem'],
      resources: [table.tableArn],
      conditions: {
        'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': ['cluster#*#certificates', 'cluster#*#events'] },
        ...namesKeys,
      },
    }),
    new PolicyStatement({
      sid: 'KeepAuthorities',
      actions: [
        'secretsmanager:CreateSecret',
        'secretsmanager:GetSecretValue',
        'secretsmanager:PutSecretValue',
      ],
      resources: [authoritySecretArns(scope)],
    }),
    ...throughTheTable(key),
    ...(key === undefined ? [] : [writeThroughSecrets(key)]),
  ];
}

/** The names of all clusters, from the sparse index. */
export function listClusters(table: ITableV2, index: string): PolicyStatement {
  return new PolicyStatement({
    sid: 'ListClusters',
    actions: ['dynamodb:Scan'],
    resources: [`${table.tableArn}/index/${index}`],
  });
}

/** These documents, on instances that carry a cluster's tag. */
export function sendCommands(scope: Construct, documents: readonly CfnDocument[]): PolicyStatement[] {
  const stack = Stack.of(scope);
  const documentArns = documents.map((document) =>
    stack.formatArn({ service: 'ssm', resource: 'document', resourceName: document.ref }),
  );
  return [
    new PolicyStatement({ sid: 'OurDocuments', actions: ['ssm:SendCommand'], resources: documentArns }),
    new PolicyStatement({
      sid: 'OnOurHosts',
      actions: ['ssm:SendCommand'],
      resources: [instanceArns(scope)],
      conditions: { StringLike: { [`ssm:resourceTag/${clusterTag}`]: '?*' } },
    }),
  ];
}

/** Run Command offers no narrower resource to read what became of a command. */
export function readCommands(): PolicyStatement {
  return new PolicyStatement({
    sid: 'ReadCommands',
    actions: ['ssm:GetCommandInvocation'],
    resources: ['*'],
  });
}

/** Stopping or isolating only hosts of a cluster, by groups that carry its tag too; EC2 offers no narrower resource to describe them. */
export function fenceHosts(scope: Construct): PolicyStatement[] {
  return [
    new PolicyStatement({
      sid: 'StopOurHosts',
      actions: ['ec2:StopInstances'],
      resources: [instanceArns(scope)],
      conditions: { StringLike: { [`ec2:ResourceTag/${clusterTag}`]: '?*' } },
    }),
    new PolicyStatement({
      sid: 'IsolateOurHosts',
      actions: ['ec2:ModifyInstanceAttribute'],
      resources: [instanceArns(scope), securityGroupArns(scope)],
      conditions: {
        StringLike: { [`ec2:ResourceTag/${clusterTag}`]: '?*' },
        // Not the user data, nor the type. Where EC2 does not say which attribute is meant, the tag alone decides.
        StringEqualsIgnoreCaseIfExists: { 'ec2:Attribute': 'groupSet' },
      },
    }),
    // Second lock: user data is code that root runs, and where EC2 says what is set, that is refused whatever else it says.
    new PolicyStatement({
      sid: 'NeverUserData',
      effect: Effect.DENY,
      actions: ['ec2:ModifyInstanceAttribute'],
      resources: [instanceArns(scope)],
      conditions: { Null: { 'ec2:Attribute/UserData': 'false' } },
    }),
    new PolicyStatement({ sid: 'SeeHosts', actions: ['ec2:DescribeInstances'], resources: ['*'] }),
  ];
}

export function describeExecutions(scope: Construct): PolicyStatement {
  return new PolicyStatement({
    sid: 'SeeExecutions',
    actions: ['states:DescribeExecution'],
    resources: [executionArns(scope)],
  });
}

export function startExecutions(scope: Construct): PolicyStatement {
  return new PolicyStatement({
    sid: 'StartOperations',
    actions: ['states:StartExecution'],
    resources: [stateMachineArn(scope)],
  });
}

/** What a drill reads and writes of its cluster: its own history and events, and neither lease nor record. */
export function drillTable(table: ITableV2, cluster: string): PolicyStatement[] {
  const pk = `cluster#${cluster}`;
  return [
    ownKeys(
      'SeeCluster',
      table,
      ['dynamodb:Query'],
      [pk, `${pk}#nodes`, `${pk}#proxies`, `${pk}#operations`],
    ),
    ownKeys('WriteDrills', table, ['dynamodb:PutItem'], [`${pk}#operations`, `${pk}#events`]),
  ];
}

/** A secret through Parameter Store, which asks Secrets Manager in the caller's name. */
export function readSecret(scope: Construct, secretName: string): PolicyStatement {
  return new PolicyStatement({
    sid: 'ReadSecret',
    actions: ['ssm:GetParameter'],
    resources: [
      Stack.of(scope).formatArn({
        service: 'ssm',
        resource: 'parameter',
        resourceName: `aws/reference/secretsmanager/${secretName}`,
      }),
    ],
  });
}

/** Lambda makes, with the role of a function, the interfaces by which it is in a VPC; EC2 offers no narrower resource. */
export function networkInterfaces(): PolicyStatement {
  return new PolicyStatement({
    sid: 'BeInTheVpc',
    actions: [
      'ec2:CreateNetworkInterface',
      'ec2:DescribeNetworkInterfaces',
      'ec2:DescribeSubnets',
      'ec2:DeleteNetworkInterface',
      'ec2:AssignPrivateIpAddresses',
      'ec2:UnassignPrivateIpAddresses',
    ],
    resources: ['*'],
  });
}

export function answerTasks(scope: Construct): PolicyStatement {
  return new PolicyStatement({
    sid: 'AnswerTasks',
    actions: ['states:SendTaskSuccess', 'states:SendTaskFailure'],
    resources: [stateMachineArn(scope)],
  });
}

/** What the agent of a database host may do, in its own cluster only. `scope` lies in the control plane's stack. */
export function databaseAgent(
  scope: Construct,
  table: ITableV2,
  cluster: string,
  tableKey?: IKey,
): PolicyStatement[] {
  const pk = `cluster#${cluster}`;
  return [
    ownKeys(
      'OwnCluster',
      table,
      ['dynamodb:Query', ...writes],
      [pk, `${pk}#nodes`, `${pk}#operations`, `${pk}#events`],
    ),
    ownKeys('SeeProxies', table, ['dynamodb:Query'], [`${pk}#proxies`, `${pk}#certificates`]),
    ownKeys('AskForCertificates', table, ['dynamodb:PutItem'], [`${pk}#database-requests`]),
    startExecutions(scope),
    answerTasks(scope),
    ...throughTheTable(tableKey),
    noForeignParameters(scope, cluster),
  ];
}

/** What the agent of a proxy host may do: it reads the lease and never writes it. */
export function proxyAgent(
  scope: Construct,
  table: ITableV2,
  cluster: string,
  tableKey?: IKey,
): PolicyStatement[] {
  const pk = `cluster#${cluster}`;
  return [
    ownKeys(
      'OwnReports',
      table,
      ['dynamodb:Query', ...writes],
      [`${pk}#proxies`, `${pk}#operations`, `${pk}#events`],
    ),
    ownKeys('SeeCluster', table, ['dynamodb:Query'], [pk, `${pk}#nodes`, `${pk}#certificates`]),
    ownKeys('AskForCertificates', table, ['dynamodb:PutItem'], [`${pk}#proxy-requests`]),
    answerTasks(scope),
    ...throughTheTable(tableKey),
    noForeignParameters(scope, cluster),
  ];
}

/** These secrets and this one object, by their whole names. */
export function readAtBoot({ secrets, artifact }: BootReads): PolicyStatement[] {
  const keys = new Set(secrets.flatMap(({ encryptionKey }) => encryptionKey ?? []));
  return [
    new PolicyStatement({
      sid: 'OwnSecrets',
      actions: ['secretsmanager:GetSecretValue'],
      resources: secrets.map(({ secretArn }) => secretArn),
    }),
    new PolicyStatement({
      sid: 'TheAgent',
      actions: ['s3:GetObject'],
      resources: [artifact.bucket.arnForObjects(artifact.key)],
    }),
    ...[...keys].map((key) => throughSecrets(key)),
  ];
}

/**
 * AmazonSSMManagedInstanceCore, which the SSM agent needs, lets a host read every parameter of the account: this takes that back, but for
 * what is kept for this cluster below `/leasehold/<cluster>/`.
 */
function noForeignParameters(scope: Construct, cluster: string): PolicyStatement {
  const resourceName = `leasehold/${cluster}/*`;
  return new PolicyStatement({
    sid: 'NoForeignParameters',
    effect: Effect.DENY,
    actions: ['ssm:GetParameter', 'ssm:GetParameters', 'ssm:GetParametersByPath'],
    notResources: [Stack.of(scope).formatArn({ service: 'ssm', resource: 'parameter', resourceName })],
  });
}

function ownKeys(sid: string, table: ITableV2, actions: string[], keys: string[]): PolicyStatement {
  return new PolicyStatement({
    sid,
    actions,
    resources: [table.tableArn],
    conditions: { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': keys }, ...namesKeys },
  });
}
