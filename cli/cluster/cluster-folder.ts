/**
 * Where a cluster of the embedded runtime keeps its files, and what the runtime says of itself there. The runtime writes
 * these files, the CLI reads them; both ask here for their names.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { isProcessAlive } from '../../adapters/process.ts';
import { InvalidInput, readId } from '../../core/wire/fields.ts';

/** `.leasehold/build` is not a cluster. */
const buildsName = 'build';

export interface ClusterFolder {
  readonly cluster: string;
  /** `<project>/.leasehold/<cluster>` */
  readonly path: string;
  readonly endpoints: string;
  /** Whom clients have to trust, where TLS is required. */
  readonly authorities: string;
  readonly runtime: string;
  readonly log: string;
  readonly state: string;
  readonly lock: string;
  readonly aws: string;
  readonly processes: string;
  /** The network of the hosts, where they have one of their own. */
  readonly network: string;
  /** Where the hosts are, unless PostgreSQL's user cannot get there; see `state`. */
  readonly hosts: string;
}

/** Throws InvalidInput for a name that is no cluster's: it becomes a folder's. */
export function clusterFolder(projectFolder: string, cluster: string): ClusterFolder {
  if (readId(cluster, 'cluster') === buildsName) {
    throw new InvalidInput('cluster', cluster, `another name: .leasehold/${buildsName} keeps what was built`);
  }
  const path = join(resolve(projectFolder), '.leasehold', cluster);
  return {
    cluster,
    path,
    endpoints: join(path, 'endpoints.json'),
    authorities: join(path, 'authorities.pem'),
    runtime: join(path, 'runtime.json'),
    log: join(path, 'runtime.log'),
    state: join(path, 'state.json'),
    lock: join(path, 'runtime.lock'),
    aws: join(path, 'aws'),
    processes: join(path, 'processes'),
    network: join(path, 'network.json'),
    hosts: join(path, 'hosts'),
  };
}

/** The folder above `from`, or itself, that is a project: it has a package.json or a .leasehold. Else `from`. */
export function findProjectFolder(from: string): string {
  for (let folder = resolve(from); ; folder = dirname(folder)) {
    if (existsSync(join(folder, '.leasehold')) || existsSync(join(folder, 'package.json'))) return folder;
    if (folder === dirname(folder)) return resolve(from);
  }
}

export type RuntimePhase = 'starting' | 'running' | 'stopping' | 'failed';

/** runtime.json: written by the runtime for whoever looks for it, readable by its owner alone. */
export interface RuntimeFile {
  readonly pid: number;
  /** With the pid it names the process for good. */
  readonly startTicks: number;
  /** Of the AWS endpoints; null until they listen. */
  readonly port: number | null;
  /** Needed for the runtime's own commands. */
  readonly token: string;
  readonly startedAt: string;
  readonly phase: RuntimePhase;
  /** What it does now, or why it failed. */
  readonly detail: string;
  /** What its owner must know for as long as it runs, such as where data went; usually empty. */
  readonly notice: string;
}

/** What the runtime last said of itself; null when there is nothing, or only a part of an older version's file. */
export function readRuntimeFile(folder: ClusterFolder): RuntimeFile | null {
  try {
    const file = JSON.parse(readFileSync(folder.runtime, 'utf8')) as RuntimeFile;
    return Number.isInteger(file.pid) && Number.isInteger(file.startTicks) ? file : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return null;
    throw error;
  }
}

/** The runtime of this cluster if it is alive: the very process that wrote the file, not another with its pid. */
export function livingRuntime(folder: ClusterFolder): RuntimeFile | null {
  const file = readRuntimeFile(folder);
  return file !== null && isProcessAlive(file.pid, file.startTicks) ? file : null;
}
