/**
 * One cluster of the embedded runtime, from its file to running hosts and back: finds the programs, builds, starts AWS, creates
 * the record, boots the hosts. Each part that was started is ended in the reverse order, also when a later one could not start.
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createClusterStore } from '../../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../../adapters/aws/dynamo-client.ts';
import { describeMissing, findInstallation } from '../../adapters/postgres/find-installation.ts';
import { findProxyPrograms } from '../../adapters/proxy/find-programs.ts';
import { ensureClusterRecord } from '../../adapters/workflow/record-cluster.ts';
import type { ClusterFolder } from '../../cli/cluster/cluster-folder.ts';
import type { TlsSpec } from '../../core/model/tls.ts';
import type { ClusterFile } from '../../core/wire/parse-cluster-file.ts';
import type { LatencyProfile } from '../aws/latency-profile.ts';
import { readStack, type Stack } from '../aws/template.ts';
import type { UsageLine } from '../aws/usage-meter.ts';
import { type Aws, isolatedGroupId, startAws } from './aws-services.ts';
import { type Artifacts, ensureArtifacts } from './build-artifacts.ts';
import {
  CannotStart,
  type ClusterState,
  isTemporary,
  keepOrChoosePort,
  newClusterState,
  readClusterState,
  withHosts,
  writeClusterState,
} from './cluster-state.ts';
import type { ControlPlaneElsewhere } from './control-plane-elsewhere.ts';
import { dataFolderNotice, startEndpointsPublisher } from './endpoints-publisher.ts';
import { Host } from './host-driver.ts';
import { type HostSurroundings, hostAddress, prepareHosts, wantedHosts } from './host-files.ts';
import { currentSuperuser, firstSecrets, secretIdsOf } from './kept-secrets.ts';
import { removeCluster, runningHosts } from './left-overs.ts';
import { type ClusterNetwork, removeNetwork } from './netns/cluster-network.ts';
import { clearTheGround, openNetwork, openRelay } from './netns/hosts-network.ts';
import type { NetworkPlan } from './netns/network-plan.ts';
import type { RelayProcess } from './netns/relay-process.ts';
import { log, type RuntimeReport } from './runtime-report.ts';
import { unprivilegedUser } from './unprivileged-user.ts';
import { unmountVolumes } from './volume.ts';

export interface EmbeddedCluster {
  /** Filled while the cluster comes up. */
  readonly hosts: ReadonlyMap<string, Host>;
  /** The network of the hosts and the way into it; null while there is none, and with the driver `loopback`. */
  readonly network: () => { readonly network: ClusterNetwork; readonly relay: RelayProcess } | null;
  /** What AWS would have counted since the start; nothing while it is not there. */
  readonly awsUsage: () => readonly UsageLine[];
  /** Throws CannotStart for what its owner can mend, the signal's reason when that is aborted. */
  up(signal: AbortSignal): Promise<void>;
  /** Orderly and complete, whatever `up` has come to; never throws before everything was tried. */
  down(): Promise<void>;
}

const loopback = '127.0.0.1';

const workerScript = join(dirname(dirname(fileURLToPath(import.meta.url))), 'ssm-worker.ts');

export function createEmbeddedCluster(
  folder: ClusterFolder,
  file: ClusterFile,
  report: RuntimeReport,
  latency: LatencyProfile = 'none',
  elsewhere: ControlPlaneElsewhere | null = null,
): EmbeddedCluster {
  const hosts = new Map<string, Host>();
  const undo: (() => Promise<void> | void)[] = [];
  let state: ClusterState | null = null;
  let network: ReturnType<EmbeddedCluster['network']> = null;
  let aws: Aws | null = null;
  const onAws = (started: Aws) => {
    aws = started;
  };
  const onNetwork = (opened: typeof network) => {
    network = opened;
  };
  return {
    hosts,
    network: () => network,
    awsUsage: () => aws?.usage() ?? [],
    async up(signal) {
      if (elsewhere !== null && file.hosts !== 'loopback')
        throw new CannotStart(
          `hosts of the driver ${file.hosts} cannot join a control plane elsewhere: use loopback`,
        );
      const progress = (detail: string) => report.set({ detail });
      const programs = await findPrograms(file, progress);
      const artifacts = await ensureArtifacts(signal, progress);
      signal.throwIfAborted();
      state = await prepareState(folder, file, programs.runAs);
      report.set({ notice: dataFolderNotice(folder, state) ?? '' });
      signal.throwIfAborted();
      await start({
        folder,
        file,
        report,
        latency,
        elsewhere,
        hosts,
        onAws,
        onNetwork,
        undo,
        state,
        artifacts,
        programs,
        signal,
      });
    },
    async down() {
      report.set({ phase: 'stopping', detail: 'stopping the hosts' });
      for (const step of undo.reverse()) {
        await Promise.resolve(step()).catch((error: unknown) =>
          log('error', 'a part could not be ended', {
            error: error instanceof Error ? error.stack : String(error),
          }),
        );
      }
      if (state !== null && isTemporary(folder, state)) removeCluster(folder, state);
    },
  };
}

type Programs = Pick<HostSurroundings, 'binDir' | 'proxyPrograms' | 'runAs'>;

async function findPrograms(file: ClusterFile, progress: (line: string) => void): Promise<Programs> {
  const wanted = await findInstallation(`/usr/lib/postgresql/${file.postgresVersion}/bin`);
  const installation = wanted.kind === 'installation' ? wanted : await findInstallation();
  if (installation.kind === 'missing') throw new CannotStart(describeMissing(installation));
  if (installation.major !== file.postgresVersion) {
    progress(`PostgreSQL ${file.postgresVersion} is not installed; using ${installation.version}`);
  }
  const proxies = file.proxies.length === 0 ? null : await findProxyPrograms();
  if (proxies !== null && proxies.kind !== 'found') {
    throw new CannotStart(`${proxies.detail} (Debian package: ${proxies.debianPackage})`);
  }
  return { binDir: installation.binDir, proxyPrograms: proxies, runAs: unprivilegedUser() };
}

async function prepareState(
  folder: ClusterFolder,
  file: ClusterFile,
  runAs: Programs['runAs'],
): Promise<ClusterState> {
  const wanted = wantedHosts(file);
  const kept = readClusterState(folder);
  if (kept !== null && !existsSync(kept.hostsFolder)) {
    throw new CannotStart(
      `the data of ${file.cluster} in ${kept.hostsFolder} is gone: \`leasehold down --remove-data\` forgets the cluster`,
    );
  }
  await clearTheGround(folder, file.hosts, kept, wanted);
  const state = { ...(kept ?? newClusterState(folder, wanted, runAs)), driver: file.hosts };
  writeClusterState(folder, state);
  const awsPort = await keepOrChoosePort(state.awsPort);
  const complete = await withHosts({ ...state, awsPort }, wanted, runningHosts(state));
  writeClusterState(folder, complete);
  return complete;
}

interface Starting {
  readonly folder: ClusterFolder;
  readonly file: ClusterFile;
  readonly report: RuntimeReport;
  readonly latency: LatencyProfile;
  /** Null: this runtime plays AWS. */
  readonly elsewhere: ControlPlaneElsewhere | null;
  readonly hosts: Map<string, Host>;
  readonly onAws: (started: Aws) => void;
  readonly onNetwork: (opened: ReturnType<EmbeddedCluster['network']>) => void;
  readonly undo: (() => Promise<void> | void)[];
  readonly state: ClusterState;
  readonly artifacts: Artifacts;
  readonly programs: Programs;
  readonly signal: AbortSignal;
}

async function start(starting: Starting): Promise<void> {
  const { folder, file, report, hosts, undo, state, artifacts, elsewhere, signal } = starting;
  const stack = readTheStack(artifacts.assembly);
  undo.push(() => removeNetwork(folder.path));
  undo.push(() => unmountVolumes(state.hostsFolder));
  const network = await openNetwork(folder, file.hosts, state);
  const surroundings = surroundingsOf(starting, stack, network?.plan ?? null);
  mkdirSync(folder.processes, { recursive: true, mode: 0o700 });
  let publish = () => {};
  const onChange = (host: Host) => {
    publish();
    for (const process of [host.agent, host.worker]) {
      if (process?.state === 'failed')
        log('error', 'given up: it ends again and again', { program: process.program.name });
    }
  };
  for (const prepared of prepareHosts(surroundings)) {
    hosts.set(prepared.id, new Host(prepared, onChange, network));
  }
  const aws = elsewhere === null ? await playAws(starting, stack, surroundings, network) : null;
  signal.throwIfAborted();
  await createRecord(surroundings);
  const superuser = () =>
    currentSuperuser(aws?.secretsManager.currentText(secretIdsOf(file.cluster).superuser) ?? null, state);
  const publisher = startEndpointsPublisher(folder, surroundings, [...hosts.values()], superuser);
  publish = publisher.publish;
  undo.push(() => {
    publish = () => {};
    publisher.close();
  });
  undo.push(() => stopHosts([...hosts.values()]));
  report.set({ detail: 'booting the hosts' });
  await Promise.all(
    [...hosts.values()].map((host) => (aws === null ? host.boot() : bootHost(host, aws.ec2))),
  );
  signal.throwIfAborted();
  aws?.resume();
  report.set({ phase: 'running', detail: 'running' });
}

function surroundingsOf(
  { file, state, programs, artifacts, folder, elsewhere }: Starting,
  stack: Stack,
  network: NetworkPlan | null,
): HostSurroundings {
  const common = {
    file,
    network,
    ...programs,
    agentBundle: join(artifacts.agent, 'main.mjs'),
    processesFolder: folder.processes,
  };
  if (elsewhere !== null) {
    const { accessKeyId, secretAccessKey, ...place } = elsewhere;
    const kept = { ...state, accessKeyId, secretAccessKey };
    return { ...common, ...place, state: kept, workerScript: null, secretIds: null };
  }
  return {
    ...common,
    state,
    region: stack.region,
    tableName: only(stack.tables, 'table').name,
    stateMachineArn: only(stack.stateMachines, 'state machine').arn,
    documents: {
      runAction: documentNamed(stack, 'RunAction'),
      fence: documentNamed(stack, 'Fence'),
      upgrade: documentNamed(stack, 'Upgrade'),
    },
    awsEndpointUrl: `http://127.0.0.1:${state.awsPort}`,
    workerScript,
    secretIds: secretIdsOf(file.cluster),
  };
}

/** Starts the AWS endpoints over the hosts, and for hosts with a network of their own the way from there to them. */
async function playAws(
  starting: Starting,
  stack: Stack,
  surroundings: HostSurroundings,
  network: Awaited<ReturnType<typeof openNetwork>>,
): Promise<Aws> {
  const { folder, report, hosts, onAws, onNetwork, undo, state } = starting;
  report.set({ detail: 'starting the AWS endpoints' });
  const byInstance = new Map([...hosts.values()].map((host) => [host.instanceId, host]));
  const hostOf = (instanceId: string): Host => {
    const host = byInstance.get(instanceId);
    if (host === undefined) throw new Error(`there is no host ${instanceId}`);
    return host;
  };
  const { accessKeyId, secretAccessKey } = state;
  const aws = await startAws({
    stack,
    folder: folder.aws,
    port: state.awsPort,
    latency: starting.latency,
    credentials: { accessKeyId, secretAccessKey },
    signsCertificates: starting.file.spec.tls.mode === 'required',
    secrets: firstSecrets(state),
    hosts: [...hosts.values()].map(({ id, instanceId }) => ({
      id,
      instanceId,
      address: hostAddress(surroundings.network, id),
    })),
    hostDriver: {
      stop: (instanceId, { force }) => (force ? hostOf(instanceId).cut('off') : hostOf(instanceId).stop()),
      start: (instanceId) => hostOf(instanceId).boot(),
      setSecurityGroups: async (instanceId, groups) =>
        network?.setIsolated(hostOf(instanceId).id, groups.includes(isolatedGroupId)),
    },
    log,
  });
  onAws(aws);
  undo.push(() => aws.close());
  if (network !== null) {
    for (const { instanceId, securityGroupIds } of aws.ec2.instances.list()) {
      await network.setIsolated(hostOf(instanceId).id, securityGroupIds.includes(isolatedGroupId));
    }
    const opened = await openRelay(folder, network, state, aws.server.accept);
    undo.push(() => opened.close());
    onNetwork({ network, relay: opened.relay });
  }
  report.set({ port: state.awsPort });
  return aws;
}

/** A host that EC2 has stopped is started through EC2, so that both say the same. */
async function bootHost(host: Host, ec2: Awaited<ReturnType<typeof startAws>>['ec2']): Promise<void> {
  const state = ec2.instances.list().find(({ instanceId }) => instanceId === host.instanceId)?.state;
  if (state === 'running') return host.boot();
  if (state === 'stopped') ec2.instances.start([host.instanceId]);
  await ec2.instances.settled();
}

/** Proxies first, so that clients see a closed endpoint rather than a primary that vanishes; then all nodes at once. */
async function stopHosts(hosts: readonly Host[]): Promise<void> {
  for (const role of ['proxy', 'database'] as const) {
    await Promise.all(hosts.filter((host) => host.role === role).map((host) => host.stop()));
  }
}

/** Programs of this machine come by loopback, and pg looks for the name `localhost` where it was given an address. */
function reachedFromHere(tls: TlsSpec): TlsSpec {
  if (tls.mode === 'off') return tls;
  return { ...tls, names: [...new Set([...tls.names, 'localhost', loopback])] };
}

async function createRecord(surroundings: HostSurroundings): Promise<void> {
  const { region, awsEndpointUrl, tableName, file, state } = surroundings;
  const { accessKeyId, secretAccessKey } = state;
  const client = createDynamoClient({
    region,
    endpoint: awsEndpointUrl,
    credentials: { accessKeyId, secretAccessKey },
  });
  try {
    await ensureClusterRecord(createClusterStore({ client, tableName, cluster: file.cluster }), {
      ...file,
      spec: { ...file.spec, tls: reachedFromHere(file.spec.tls) },
    });
  } finally {
    client.destroy();
  }
}

function readTheStack(assemblyFolder: string): Stack {
  const suffix = '.template.json';
  const templates = readdirSync(assemblyFolder).filter((name) => name.endsWith(suffix));
  const stackName = only(templates, 'stack').slice(0, -suffix.length);
  return readStack({ assemblyFolder, stackName });
}

function documentNamed(stack: Stack, part: string): string {
  return only(
    stack.documents.filter(({ name }) => name.includes(part)),
    `document ${part}`,
  ).name;
}

function only<T>(list: readonly T[], what: string): T {
  const [first] = list;
  if (first === undefined || list.length > 1)
    throw new Error(`the assembly has ${list.length} x ${what}, not one`);
  return first;
}
