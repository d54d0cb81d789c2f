/** `leasehold up`: a whole cluster on this machine, up when the command returns; broken off, nothing stays. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, Option } from 'commander';
import { sleepMs } from '../../adapters/clock.ts';
import { InvalidInput } from '../../core/wire/fields.ts';
import {
  type ClusterFile,
  type HostDriverName,
  hostDrivers,
  parseClusterFile,
} from '../../core/wire/parse-cluster-file.ts';
import { CliError, interruptedCode } from '../cli-error.ts';
import { projectFolder } from '../cluster/cluster-access.ts';
import { type ClusterFolder, clusterFolder, livingRuntime } from '../cluster/cluster-folder.ts';
import type { Endpoints } from '../cluster/endpoints.ts';
import {
  cleanUp,
  downTimeoutMs,
  endProcess,
  startRuntime,
  waitUntilWhole,
} from '../cluster/runtime-process.ts';
import { wholeNumber } from '../option-values.ts';
import { print, say } from '../terminal.ts';

const defaultFile = 'examples/three-nodes.json';

interface UpOptions {
  readonly folder?: string;
  readonly hosts?: HostDriverName;
  readonly timeout: number;
}

export function addUpCommand(program: Command): void {
  program
    .command('up')
    .description('start a cluster on this machine, and return once it is stable and every node streams')
    .argument('[file]', `the cluster file (default: ${defaultFile})`)
    .option('--folder <path>', 'the project folder, in whose .leasehold/ the cluster is kept')
    .addOption(
      new Option('--hosts <driver>', 'how hosts are played, in place of what the cluster file says').choices(
        hostDrivers,
      ),
    )
    .option('--timeout <seconds>', 'give up after this long', wholeNumber(1, 3600), 180)
    .action((file: string | undefined, options: UpOptions) => up(file, options));
}

async function up(given: string | undefined, options: UpOptions): Promise<void> {
  const path = clusterFilePath(given);
  const file = readClusterFile(path);
  const project = resolve(projectFolder(options));
  const folder = clusterFolder(project, file.cluster);
  const interruption = new AbortController();
  const interrupt = (signal: 'SIGINT' | 'SIGTERM') =>
    interruption.abort(new CliError(`interrupted: ${file.cluster} is down again`, interruptedCode[signal]));
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  await stoppingIsOver(folder);
  const running = livingRuntime(folder) !== null;
  const child = running
    ? null
    : startRuntime({ folder, project, clusterFile: path, hosts: options.hosts, tied: false });
  try {
    const endpoints = await waitUntilWhole({
      folder,
      child,
      wanted: { nodes: file.nodes.map(({ id }) => id), proxies: file.proxies.map(({ id }) => id) },
      timeoutMs: options.timeout * 1000,
      signal: interruption.signal,
      onProgress: say,
    });
    if (running) say(`the cluster ${file.cluster} is running already`);
    print(summary(endpoints, folder));
  } catch (error) {
    await takeDown(folder, project, child);
    throw error;
  }
}

/** What this command started goes down with it; a cluster that was running before is left alone. */
async function takeDown(folder: ClusterFolder, project: string, child: ChildProcess | null): Promise<void> {
  if (child?.pid === undefined) return;
  say('bringing everything down');
  if (child.exitCode === null && child.signalCode === null) await endProcess(child.pid);
  await cleanUp(folder, project, false, say);
}

async function stoppingIsOver(folder: ClusterFolder): Promise<void> {
  const untilMs = performance.now() + downTimeoutMs;
  while (livingRuntime(folder)?.phase === 'stopping' && performance.now() < untilMs) await sleepMs(100);
}

function clusterFilePath(given: string | undefined): string {
  if (given !== undefined) return resolve(given);
  if (existsSync(defaultFile)) return resolve(defaultFile);
  return join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), defaultFile);
}

/** Throws CliError that names the file, and the field in it that is wrong. */
export function readClusterFile(path: string): ClusterFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new CliError(`the cluster file cannot be read: ${(error as Error).message}`);
  }
  try {
    return parseClusterFile(JSON.parse(text));
  } catch (error) {
    if (error instanceof InvalidInput || error instanceof SyntaxError) {
      throw new CliError(`${path}: ${error.message}`);
    }
    throw error;
  }
}

function summary({ cluster, dsn }: Endpoints, folder: ClusterFolder): string {
  return [
    `The cluster ${cluster} is stable and every node streams.`,
    ...(dsn.endpoint === '' ? [] : [`  clients      ${dsn.endpoint}`]),
    `  everything   ${folder.endpoints}`,
    '  next         leasehold status | switchover | events | down',
  ].join('\n');
}
