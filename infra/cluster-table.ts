/**
 * The one table: leases, records, reports, operations and events of every cluster. Kept when the stack is deleted, restorable to
 * any second of the last 35 days. Only events carry `expires_at`; no decision uses it. In one region, or strongly consistent in three.
 */
import { RemovalPolicy, Stack } from 'aws-cdk-lib';
import {
  AttributeType,
  Billing,
  type CfnGlobalTable,
  MultiRegionConsistency,
  ProjectionType,
  TableEncryptionV2,
  type TablePropsV2,
  TableV2,
} from 'aws-cdk-lib/aws-dynamodb';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import { checkTableRegions, type TableRegions } from './table-regions.ts';

/** A sparse index of the clusters' records, which alone have a `uid`: how the sentinel finds all clusters. */
export const clustersIndex = 'clusters';

export interface ClusterTableProps {
  /** A key of the customer's. Default: one that DynamoDB owns. */
  readonly encryptionKey?: IKey;
  /** DynamoDB refuses to delete the table. Default: true. */
  readonly deletionProtection?: boolean;
  /** What becomes of the table when the stack is deleted. Default: it is kept. */
  readonly removalPolicy?: RemovalPolicy;
  /** Two more regions, strongly consistent; only for a table that is new (docs/regions.md). Default: the stack's region alone. */
  readonly tableRegions?: TableRegions;
}

export class ClusterTable extends Construct {
  readonly table: TableV2;

  constructor(scope: Construct, id: string, props: ClusterTableProps = {}) {
    super(scope, id);
    const {
      encryptionKey,
      tableRegions,
      deletionProtection = true,
      removalPolicy = RemovalPolicy.RETAIN,
    } = props;
    if (tableRegions !== undefined)
      checkTableRegions(tableRegions, Stack.of(this).region, encryptionKey !== undefined);
    this.table = new TableV2(this, 'Table', {
      partitionKey: { name: 'pk', type: AttributeType.STRING },
      sortKey: { name: 'sk', type: AttributeType.STRING },
      globalSecondaryIndexes: [
        {
          indexName: clustersIndex,
          partitionKey: { name: 'uid', type: AttributeType.STRING },
          projectionType: ProjectionType.KEYS_ONLY,
        },
      ],
      billing: Billing.onDemand(),
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      deletionProtection,
      removalPolicy,
      ...(tableRegions === undefined
        ? { timeToLiveAttribute: 'expires_at' }
        : inThreeRegions(tableRegions, encryptionKey)),
    });
    if (encryptionKey !== undefined && tableRegions === undefined) this.#encrypt(encryptionKey);
  }

  /** Below TableV2, whose own property takes no key in a stack that is made for no particular region. */
  #encrypt(key: IKey): void {
    const table = this.table.node.defaultChild as CfnGlobalTable;
    table.sseSpecification = { sseEnabled: true, sseType: 'KMS' };
    table.addPropertyOverride('Replicas.0.SSESpecification', { KMSMasterKeyId: key.keyArn });
  }
}

/** DynamoDB has no time to live there: events stay. */
function inThreeRegions(
  { replicas, witness, replicaKeyArns }: TableRegions,
  key: IKey | undefined,
): Partial<TablePropsV2> {
  return {
    multiRegionConsistency: MultiRegionConsistency.STRONG,
    replicas: replicas.map((region) => ({ region })),
    ...(witness === undefined ? {} : { witnessRegion: witness }),
    ...(key === undefined ? {} : { encryption: TableEncryptionV2.customerManagedKey(key, replicaKeyArns) }),
  };
}
