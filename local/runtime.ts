/**
 * The embedded runtime's process, one a cluster: AWS endpoints and hosts on this machine.
 *
 *   node local/runtime.ts run --file <cluster file> --folder <project> [--hosts <driver>] [--latency none|aws]
 *        [--control-plane <file>] [--tied]                                        until SIGTERM or SIGINT
 *   node local/runtime.ts end --cluster <name> --folder <project> [--remove-data] ends what a killed runtime left
 *
 * `--tied` brings it down when its standard input closes without a line `stay`. Killed, it leaves the hosts running; the next
 * `run` finds them. Exit codes: 0 ended in order, 1 could not start, 75 another runtime has this cluster.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { sendSignal } from '../adapters/process.ts';
import { type ClusterFolder, clusterFolder } from '../cli/cluster/cluster-folder.ts';
import { parseClusterFile } from '../core/wire/parse-cluster-file.ts';
import { readLatencyProfile } from './aws/latency-profile.ts';
import { CannotStart, isTemporary, readClusterState } from './runtime/cluster-state.ts';
import { readControlPlaneElsewhere } from './runtime/control-plane-elsewhere.ts';
import { type ControlHandler, openControl } from './runtime/control-server.ts';
import { createEmbeddedCluster, type EmbeddedCluster } from './runtime/embedded-cluster.ts';
import type { Host } from './runtime/host-driver.ts';
import { hostAddress } from './runtime/host-files.ts';
import { endLeftOvers, removeCluster } from './runtime/left-overs.ts';
import { removeNetwork } from './runtime/netns/cluster-network.ts';
import type { Delay } from './runtime/netns/delayed-pipe.ts';
import type { RelayLink } from './runtime/netns/relay.ts';
import { log, startReport } from './runtime/runtime-report.ts';
import { unmountVolumes } from './runtime/volume.ts';

const alreadyRunningCode = 75;

interface RunOptions {
  readonly file: string;
  readonly folder: string;
  readonly hosts?: string | undefined;
  readonly latency: string;
  readonly 'control-plane'?: string | undefined;
  readonly tied: boolean;
}

async function run({ file, folder: project, hosts, latency, tied, ...rest }: RunOptions): Promise<number> {
  const ending = new AbortController();
  const end = (reason: string) => ending.abort(new Ended(reason));
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => end(signal));
  if (tied) endWithStandardInput(() => end('the process that started it has ended'));

  const given = JSON.parse(readFileSync(file, 'utf8'));
  const wanted = parseClusterFile(hosts === undefined ? given : { ...given, hosts });
  const elsewhere = readControlPlaneElsewhere(rest['control-plane']);
  const folder = clusterFolder(project, wanted.cluster);
  mkdirSync(folder.path, { recursive: true, mode: 0o755 });
  const token = randomBytes(24).toString('base64url');
  const handler: { current: ControlHandler | null } = { current: null };
  const control = await openControl(folder.path, token, async (command) => {
    if (handler.current === null) throw new Error('the runtime is still starting');
    return handler.current(command);
  });
  if (control === null) return alreadyRunningCode;
  const report = startReport(folder, token);
  const cluster = createEmbeddedCluster(folder, wanted, report, readLatencyProfile(latency), elsewhere);
  let failure: unknown = null;
  try {
    ending.signal.throwIfAborted();
    handler.current = commandsOf(cluster);
    await cluster.up(ending.signal);
    await aborted(ending.signal);
  } catch (error) {
    if (!(ending.signal.aborted && isEnd(error))) failure = error;
  }
  handler.current = null;
  await cluster.down();
  control.close();
  control.closeAllConnections();
  if (failure === null) {
    rmSync(folder.runtime, { force: true });
    return 0;
  }
  const detail = failure instanceof Error ? failure.message : String(failure);
  if (failure instanceof Error && !(failure instanceof CannotStart))
    log('error', 'the runtime failed', { error: failure.stack });
  mkdirSync(folder.path, { recursive: true, mode: 0o755 });
  report.set({ phase: 'failed', detail });
  return 1;
}

/** The way out of a start that is broken off. */
class Ended extends Error {}

function isEnd(error: unknown): boolean {
  return error instanceof Ended || (error instanceof Error && error.name === 'AbortError');
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function endWithStandardInput(end: () => void): void {
  let said = '';
  process.stdin.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const over = () => {
    if (!said.includes('stay')) end();
  };
  process.stdin.once('end', over).once('error', over);
}

/** What tests and the main job may do to hosts; each command answers when it is done. */
function commandsOf(cluster: EmbeddedCluster): ControlHandler {
  const commands: Record<string, (host: Host) => Promise<unknown> | unknown> = {
    'kill-host': (host) => host.cut('dead'),
    'boot-host': (host) => host.boot(),
    /** As any crash: supervision starts it again. */
    'kill-agent': ({ agent }) => {
      if (agent.pid !== null) sendSignal(agent.pid, 'SIGKILL');
    },
    /** Killed for good, until `start-agent`. */
    'hold-agent': ({ agent }) => {
      const held = agent.release();
      if (held !== null) sendSignal(held.pid, 'SIGKILL');
    },
    'start-agent': ({ agent }) => agent.start(),
    'host-processes': (host) => host.processes(),
    'host-power': ({ power, agent, worker }) => ({
      power,
      agent: agent.state,
      worker: worker?.state ?? null,
    }),
  };
  return async ({ name, host: id, detail = '' }) => {
    if (name === 'relay-delay' || name === 'relay-counts') {
      const open = cluster.network();
      if (open === null)
        throw new Error('only hosts with a network of their own (hosts: "netns") have a relay');
      if (name === 'relay-counts') return open.relay.counts();
      const { link, delay } = JSON.parse(detail) as { link: RelayLink; delay: Delay };
      return open.relay.delay(link, id === '' ? null : hostAddress(open.network.plan, id), delay);
    }
    if (name === 'aws-usage') return cluster.awsUsage();
    const host = cluster.hosts.get(id);
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (command === undefined) throw new Error(`there is no command ${name}`);
    if (host === undefined) {
      throw new Error(`there is no host ${id}; there is ${[...cluster.hosts.keys()].join(', ')}`);
    }
    return command(host);
  };
}

async function end(cluster: string, project: string, removeData: boolean): Promise<number> {
  const folder: ClusterFolder = clusterFolder(project, cluster);
  mkdirSync(folder.path, { recursive: true, mode: 0o755 });
  const control = await openControl(folder.path, randomBytes(24).toString('hex'), async () => {
    throw new Error('the cluster is going down');
  });
  if (control === null) {
    process.stderr.write(`a runtime of ${cluster} is still running\n`);
    return alreadyRunningCode;
  }
  try {
    const state = readClusterState(folder);
    const ended = state === null ? 0 : await endLeftOvers(state);
    if (ended > 0) process.stdout.write(`ended ${ended} processes that a killed runtime had left\n`);
    await removeNetwork(folder.path);
    if (state !== null) unmountVolumes(state.hostsFolder);
    rmSync(folder.endpoints, { force: true });
    rmSync(folder.runtime, { force: true });
    if (removeData || state === null || isTemporary(folder, state)) removeCluster(folder, state);
    return 0;
  } finally {
    control.close();
  }
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    file: { type: 'string', default: '' },
    folder: { type: 'string', default: '' },
    hosts: { type: 'string' },
    latency: { type: 'string', default: 'none' },
    'control-plane': { type: 'string' },
    cluster: { type: 'string', default: '' },
    tied: { type: 'boolean', default: false },
    'remove-data': { type: 'boolean', default: false },
  },
});
const code =
  positionals[0] === 'run'
    ? await run(values)
    : await end(values.cluster, values.folder, values['remove-data']);
// Idle connections of clients that have done their work must not hold the process.
process.exit(code);
