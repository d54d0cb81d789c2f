/**
 * Starts, watches and ends the embedded runtime of a cluster. It is a process of its own with a session of its own: a Ctrl-C at
 * the terminal reaches the command, which then brings the runtime down in order.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createClusterStore } from '../../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../../adapters/aws/dynamo-client.ts';
import { sleepMs } from '../../adapters/clock.ts';
import { isProcessAlive, sendSignal } from '../../adapters/process.ts';
import type { HostDriverName } from '../../core/wire/parse-cluster-file.ts';
import { CliError } from '../cli-error.ts';
import { type ClusterFolder, livingRuntime, readRuntimeFile } from './cluster-folder.ts';
import { type Endpoints, readEndpoints } from './endpoints.ts';
import { missingForClients, type WantedCluster } from './redundancy.ts';

const runtimeScript = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'local', 'runtime.ts');

const pollMs = 100;
/** An orderly end stops PostgreSQL on every host, which may take an agent 20 s. */
export const downTimeoutMs = 60_000;
/** A log that has grown beyond this is set aside at the next start; one older log is kept. */
const logLimitBytes = 20 * 1024 * 1024;
const tailLines = 12;
const tailBytes = 16_384;
const tailLineCharacters = 240;

export interface RuntimeStart {
  readonly folder: ClusterFolder;
  /** The folder that holds `.leasehold/`. */
  readonly project: string;
  readonly clusterFile: string;
  /** In place of what the cluster file says. */
  readonly hosts?: HostDriverName | undefined;
  /** How late AWS answers: the name of a latency profile of the runtime. */
  readonly latency?: string | undefined;
  /** A file that names a control plane elsewhere, which the hosts join; absent: the runtime plays it. */
  readonly controlPlane?: string | undefined;
  /** The runtime goes down when this process ends, however it ends. */
  readonly tied: boolean;
}

/** Spawns the runtime; whether it comes up is for `waitUntilWhole`. */
export function startRuntime({
  folder,
  project,
  clusterFile,
  hosts,
  latency,
  controlPlane,
  tied,
}: RuntimeStart): ChildProcess {
  mkdirSync(folder.path, { recursive: true });
  const size = statSync(folder.log, { throwIfNoEntry: false })?.size ?? 0;
  if (size > logLimitBytes) renameSync(folder.log, `${folder.log}.1`);
  const log = openSync(folder.log, 'a', 0o600);
  const options = [
    ...(hosts === undefined ? [] : ['--hosts', hosts]),
    ...(latency === undefined ? [] : ['--latency', latency]),
    ...(controlPlane === undefined ? [] : ['--control-plane', controlPlane]),
    ...(tied ? ['--tied'] : []),
  ];
  const args = ['run', '--file', clusterFile, '--folder', project, ...options];
  const child = spawn(process.execPath, [runtimeScript, ...args], {
    cwd: project,
    detached: true,
    stdio: [tied ? 'pipe' : 'ignore', log, log],
  });
  closeSync(log);
  child.on('error', () => undefined);
  child.stdin?.on('error', () => undefined);
  child.unref();
  return child;
}

/** Tells a tied runtime that it may outlive this process. */
export function untie(child: ChildProcess): void {
  child.stdin?.end('stay\n');
}

export interface WaitOptions {
  readonly folder: ClusterFolder;
  readonly wanted: WantedCluster;
  /** The runtime this process started; null for one that was there. */
  readonly child: ChildProcess | null;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/**
 * Waits until the cluster is whole (see `redundancy.ts`) and returns its endpoints. Throws CliError when the runtime ends or the
 * time is up, with the end of its log; throws the signal's reason when that is aborted.
 */
export async function waitUntilWhole(options: WaitOptions): Promise<Endpoints> {
  const { folder, wanted, signal } = options;
  const untilMs = performance.now() + options.timeoutMs;
  let last = '';
  let notice = '';
  const told = new Set<string>();
  const tell = (line: string) => {
    last = line;
    // Steps come and go while several hosts are at work; each is told once.
    if (line !== '' && !told.has(line)) options.onProgress(line);
    told.add(line);
  };
  for (;;) {
    signal.throwIfAborted();
    const runtime = readRuntimeFile(folder);
    const ours = options.child === null || runtime?.pid === options.child.pid;
    if (ours && runtime !== null && runtime.notice !== notice) {
      notice = runtime.notice;
      options.onProgress(notice);
    }
    if (hasEnded(options)) {
      if (ours && runtime?.phase === 'failed') throw new CliError(`${runtime.detail}\n(log: ${folder.log})`);
      throw new CliError(`the runtime ended unexpectedly\n${logTail(folder)}`);
    }
    if (ours && runtime?.phase === 'running') {
      const missing = await missingNow(folder, wanted);
      if (typeof missing !== 'string') return missing;
      tell(missing);
    } else if (ours && runtime !== null) tell(runtime.detail);
    if (performance.now() > untilMs) {
      throw new CliError(
        `not ready after ${Math.round(options.timeoutMs / 1000)} s: ${last}\n${logTail(folder)}`,
      );
    }
    await sleepMs(pollMs);
  }
}

function hasEnded({ child, folder }: WaitOptions): boolean {
  if (child === null) return livingRuntime(folder) === null;
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

async function missingNow(folder: ClusterFolder, wanted: WantedCluster): Promise<Endpoints | string> {
  const endpoints = readEndpoints(folder);
  if (endpoints === null) return 'the runtime has not named its endpoints';
  const missing = await missingForClients(storeOf(endpoints), endpoints, wanted);
  return missing.length === 0 ? endpoints : missing.join('; ');
}

const stores = new Map<string, ReturnType<typeof createClusterStore>>();

/** A store over an embedded runtime's endpoints; one client for each address, because its connections are kept. */
export function storeOf(endpoints: Endpoints): ReturnType<typeof createClusterStore> {
  const { region, awsEndpointUrl, accessKeyId, secretAccessKey, tableName, cluster } = endpoints;
  const key = `${awsEndpointUrl} ${accessKeyId} ${cluster}`;
  const known = stores.get(key);
  if (known !== undefined) return known;
  const credentials = { accessKeyId, secretAccessKey };
  const client = createDynamoClient({ region, endpoint: awsEndpointUrl, credentials });
  const store = createClusterStore({ client, tableName, cluster });
  stores.set(key, store);
  return store;
}

/** Ends a living runtime in order, and by force when it takes too long. Returns false when there was none. */
export async function endRuntime(folder: ClusterFolder): Promise<boolean> {
  const runtime = livingRuntime(folder);
  if (runtime === null) return false;
  await endProcess(runtime.pid, runtime.startTicks);
  return true;
}

/** SIGTERM, then SIGKILL when the time for an orderly end is over. */
export async function endProcess(pid: number, startTicks?: number): Promise<void> {
  const untilMs = performance.now() + downTimeoutMs;
  sendSignal(pid, 'SIGTERM');
  while (isProcessAlive(pid, startTicks)) {
    if (performance.now() > untilMs) sendSignal(pid, 'SIGKILL');
    await sleepMs(20);
  }
}

/** Ends what a runtime left behind, and with `removeData` the cluster's data; says what it did on `onLine`. */
export async function cleanUp(
  folder: ClusterFolder,
  project: string,
  removeData: boolean,
  onLine: (line: string) => void,
): Promise<void> {
  const args = [
    'end',
    '--cluster',
    folder.cluster,
    '--folder',
    project,
    ...(removeData ? ['--remove-data'] : []),
  ];
  const child = spawn(process.execPath, [runtimeScript, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-tailBytes);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const code = await new Promise<number | null>((resolve) => {
    child.once('error', () => resolve(127));
    child.once('close', resolve);
  });
  if (output !== '') onLine(output.trimEnd());
  if (code !== 0) throw new CliError(`the cluster ${folder.cluster} could not be brought down`);
}

/** The end of the runtime's log, for an error message. */
export function logTail(folder: ClusterFolder): string {
  const size = statSync(folder.log, { throwIfNoEntry: false })?.size ?? 0;
  if (size === 0) return `(nothing in ${folder.log})`;
  const lines = readFileSync(folder.log).subarray(-tailBytes).toString('utf8').trimEnd().split('\n');
  return [
    `--- the end of ${folder.log} (each host's logs are in its own folder)`,
    ...lines.slice(-tailLines).map((line) => line.slice(0, tailLineCharacters)),
  ].join('\n');
}
