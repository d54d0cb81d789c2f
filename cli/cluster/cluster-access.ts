/**
 * Finds the cluster that a command is about, and the AWS endpoints to talk to: those of an embedded runtime, by its
 * endpoints.json, or AWS itself, by options or environment. From here on the two are used alike.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { type ClusterStore, createClusterStore } from '../../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../../adapters/aws/dynamo-client.ts';
import { CliError } from '../cli-error.ts';
import { clusterFolder, findProjectFolder, livingRuntime } from './cluster-folder.ts';
import { type Endpoints, readEndpoints } from './endpoints.ts';

export interface ClusterOptions {
  readonly cluster?: string;
  readonly folder?: string;
  readonly region?: string;
  readonly table?: string;
  readonly stateMachine?: string;
  readonly endpointUrl?: string;
  readonly runActionDocument?: string;
  readonly fenceDocument?: string;
  readonly upgradeDocument?: string;
}

export interface ClusterAccess {
  readonly cluster: string;
  readonly tableName: string;
  /** Empty where it was not given: then nothing can be started. */
  readonly stateMachineArn: string;
  /** Run Command's, by name; empty where they were not given: then hosts are reached through DynamoDB alone, and not upgraded. */
  readonly documents: { readonly runAction: string; readonly fence: string; readonly upgrade: string };
  /** For AWS clients: region, and for an embedded runtime its URL and credentials. */
  readonly clientConfig: {
    readonly region: string;
    readonly endpoint?: string;
    readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  };
  readonly store: ClusterStore;
  /** Null on AWS. */
  readonly endpoints: Endpoints | null;
}

export const defaultCluster = 'main';

/** The options by which every command finds its cluster. */
export function withClusterOptions(command: Command): Command {
  return command
    .option('-c, --cluster <name>', 'the cluster (default: "main", or the only one there is)')
    .option('--folder <path>', 'the project folder, whose .leasehold/ holds the clusters that run here')
    .option('--region <region>', 'AWS: the region ($AWS_REGION)')
    .option('--table <name>', 'AWS: the DynamoDB table ($LEASEHOLD_TABLE)')
    .option('--state-machine <arn>', 'AWS: the state machine ($LEASEHOLD_STATE_MACHINE)')
    .option('--endpoint-url <url>', 'AWS: another address for all services ($AWS_ENDPOINT_URL)');
}

export function projectFolder(options: ClusterOptions): string {
  return options.folder ?? process.env['LEASEHOLD_FOLDER'] ?? findProjectFolder(process.cwd());
}

/** Throws CliError when there is no such cluster, or it does not run. */
export function openCluster(options: ClusterOptions): ClusterAccess {
  const tableName = options.table ?? process.env['LEASEHOLD_TABLE'];
  return tableName === undefined || tableName === '' ? openEmbedded(options) : openAws(options, tableName);
}

function openAws(options: ClusterOptions, tableName: string): ClusterAccess {
  const region = options.region ?? process.env['AWS_REGION'] ?? process.env['AWS_DEFAULT_REGION'];
  if (region === undefined)
    throw new CliError('with --table the region is needed too: --region or $AWS_REGION');
  const endpoint = options.endpointUrl ?? process.env['AWS_ENDPOINT_URL'];
  const clientConfig = endpoint === undefined ? { region } : { region, endpoint };
  const cluster = options.cluster ?? defaultCluster;
  return {
    cluster,
    tableName,
    stateMachineArn: options.stateMachine ?? process.env['LEASEHOLD_STATE_MACHINE'] ?? '',
    documents: {
      runAction: options.runActionDocument ?? process.env['LEASEHOLD_RUN_ACTION_DOCUMENT'] ?? '',
      fence: options.fenceDocument ?? process.env['LEASEHOLD_FENCE_DOCUMENT'] ?? '',
      upgrade: options.upgradeDocument ?? process.env['LEASEHOLD_UPGRADE_DOCUMENT'] ?? '',
    },
    clientConfig,
    store: createClusterStore({ client: createDynamoClient(clientConfig), tableName, cluster }),
    endpoints: null,
  };
}

function openEmbedded(options: ClusterOptions): ClusterAccess {
  const project = projectFolder(options);
  const cluster = chooseCluster(project, options.cluster);
  const folder = clusterFolder(project, cluster);
  const endpoints = readEndpoints(folder);
  if (endpoints === null || livingRuntime(folder) === null) {
    throw new CliError(
      `the cluster ${cluster} does not run in ${project}: start it with \`leasehold up\`. One on AWS is found by its table: --table and --region, or $LEASEHOLD_TABLE and $AWS_REGION`,
    );
  }
  const { accessKeyId, secretAccessKey, tableName, region } = endpoints;
  const clientConfig = {
    region,
    endpoint: endpoints.awsEndpointUrl,
    credentials: { accessKeyId, secretAccessKey },
  };
  return {
    cluster,
    tableName,
    stateMachineArn: endpoints.stateMachineArn,
    documents: { upgrade: '', ...endpoints.documents },
    clientConfig,
    store: createClusterStore({ client: createDynamoClient(clientConfig), tableName, cluster }),
    endpoints,
  };
}

function chooseCluster(project: string, wanted: string | undefined): string {
  const running = clustersIn(project).filter((name) => livingRuntime(clusterFolder(project, name)) !== null);
  if (wanted !== undefined) {
    if (running.length > 0 && !running.includes(wanted)) {
      throw new CliError(`no cluster ${wanted} runs in ${project}; there is ${running.join(', ')}`);
    }
    return wanted;
  }
  const [only] = running;
  if (running.includes(defaultCluster) || only === undefined) return defaultCluster;
  if (running.length > 1) throw new CliError(`say which cluster with --cluster: ${running.join(', ')}`);
  return only;
}

/** The clusters that have a folder here, whether they run or not. */
export function clustersIn(project: string): string[] {
  const folder = join(project, '.leasehold');
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, 'state.json')))
    .map((entry) => entry.name)
    .sort();
}
