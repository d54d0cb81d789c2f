/**
 * The doctor's checks of the host itself: its files, programs, ports, guard, watchdog and clock. They only look; nothing here changes
 * the host.
 */
import { accessSync, constants, existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { findInstallation } from '../../adapters/postgres/find-installation.ts';
import { isProcessAlive, runProgram } from '../../adapters/process.ts';
import { findProxyPrograms } from '../../adapters/proxy/find-programs.ts';
import type { DatabaseHostConfig, HostConfig } from '../../core/model/host-config.ts';
import { Guard } from '../guard.ts';
import { agentFilePath, dataDirectory, guardFifoPath, guardLogPath } from '../paths.ts';
import { type Check, type Finding, failed, fine, skipped, warning } from './check.ts';

/** Less free than that of a volume is a warning; a fifth of it a failure. */
const littleSpace = 0.1;
/** PostgreSQL needs a disk that keeps what it synced, and one lock on it. */
const noFileSystems = ['tmpfs', 'ramfs', 'nfs', 'nfs4', 'cifs', '9p'];
/** Clock sources that cost a system call, or worse, at each look at the clock. */
const slowClocks = ['xen', 'hpet', 'acpi_pm', 'jiffies'];
const programTimeoutMs = 5_000;
const connectTimeoutMs = 2_000;

export function hostChecks(config: HostConfig, configFile: string): Check[] {
  const common: Check[] = [
    { id: 'configuration', look: () => lookAtConfigFile(config, configFile) },
    { id: 'folder', look: () => lookAtFolder(config) },
    { id: 'disk', look: () => lookAtDisk(config.folder) },
    { id: 'clock-source', look: lookAtClockSource },
    { id: 'other-postgresql', look: lookForOtherServices },
    { id: 'agent', look: () => lookAtAgent(config) },
    { id: 'ports', look: () => lookAtPorts(config) },
  ];
  if (config.role === 'proxy') return [...common, { id: 'programs', look: lookAtProxyPrograms }];
  return [
    ...common,
    { id: 'programs', look: () => lookAtPostgres(config) },
    { id: 'guard', look: () => lookAtGuard(config) },
    { id: 'watchdog', look: () => lookAtWatchdog(config) },
  ];
}

function lookAtConfigFile(config: HostConfig, path: string): Finding {
  const { mode } = statSync(path);
  const who = `${config.role} ${config.node} of ${config.cluster}`;
  if ((mode & 0o077) === 0) return fine(`${path} is valid: ${who}`);
  const shown = (mode & 0o777).toString(8);
  return failed(
    `${path} has mode ${shown}, and passwords in it`,
    `chmod 600 ${path}, then change the passwords`,
  );
}

function lookAtFolder(config: HostConfig): Finding {
  const { folder, runAs, role } = config;
  const { uid, mode } = statSync(folder);
  const own = process.getuid?.() ?? 0;
  if (uid !== own)
    return failed(`${folder} belongs to user ${uid}, not to the agent's (${own})`, `chown ${own} ${folder}`);
  if ((mode & 0o022) !== 0) return failed(`others may write to ${folder}`, `chmod 755 ${folder}`);
  if (role === 'proxy') return fine(`${folder} is the agent's own`);
  const pgdata = dataDirectory(config);
  if (!existsSync(pgdata))
    return warning(`${pgdata} is not there yet`, 'The agent makes it when the cluster has a primary.');
  const data = statSync(pgdata);
  const wanted = runAs?.uid ?? own;
  if (data.uid !== wanted)
    return failed(`${pgdata} belongs to user ${data.uid}, not ${wanted}`, `chown -R ${wanted} ${pgdata}`);
  if ((data.mode & 0o027) !== 0) return failed(`${pgdata} is open to others`, `chmod 700 ${pgdata}`);
  return fine(`${folder} and ${pgdata} belong to whom they should`);
}

function lookAtDisk(folder: string): Finding {
  const { bavail, blocks, bsize } = statfsSync(folder);
  const kind = fileSystemOf(folder, readFileSync('/proc/self/mountinfo', 'utf8'));
  const share = blocks === 0 ? 0 : bavail / blocks;
  const found = `${Math.round(share * 100)} % of ${Math.round((blocks * bsize) / 2 ** 30)} GiB free on ${kind}`;
  if (noFileSystems.includes(kind))
    return failed(found, 'PostgreSQL needs a local disk that survives a reboot.');
  if (share < littleSpace / 5) return failed(found, 'Make room, or enlarge the volume, before writes fail.');
  return share < littleSpace ? warning(found, 'Enlarge the volume.') : fine(found);
}

/** The type of the file system that a path is on, by the longest mount point above it; mountinfo as in proc(5). */
export function fileSystemOf(path: string, mountinfo: string): string {
  let longest = '';
  let kind = 'unknown';
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const point = (before.split(' ')[4] ?? '').replaceAll('\\040', ' ');
    const above = point !== '' && `${path}/`.startsWith(point === '/' ? '/' : `${point}/`);
    if (!above || point.length < longest.length) continue;
    longest = point;
    kind = after.split(' ')[0] ?? 'unknown';
  }
  return kind;
}

function lookAtClockSource(): Finding {
  const path = '/sys/devices/system/clocksource/clocksource0/current_clocksource';
  if (!existsSync(path)) return skipped('the kernel does not tell');
  const source = readFileSync(path, 'utf8').trim();
  if (!slowClocks.includes(source)) return fine(source);
  return warning(`${source} is slow`, 'A type of instance on Nitro has kvm-clock, tsc or arch_sys_counter.');
}

/** The distribution's own service would open the data of an old primary at the next boot, or hold its port. */
async function lookForOtherServices(): Promise<Finding> {
  const words = ['systemctl', 'list-units', '--type=service', '--state=active', '--plain', '--no-legend'];
  const listed = await runProgram([...words, 'postgresql*', 'haproxy*', 'pgbouncer*'], {
    timeoutMs: programTimeoutMs,
  });
  if (listed.kind !== 'exited' || listed.exitCode !== 0) return skipped('systemd does not answer');
  const units = listed.stdout.split('\n').flatMap((line) => line.trim().split(/\s+/)[0] || []);
  if (units.length === 0) return fine("no service of the distribution's runs");
  return failed(`${units.join(', ')} runs`, `systemctl mask --now ${units.join(' ')}`);
}

/** Null when no agent of this host lives. */
function agentPid(config: HostConfig): number | null {
  const path = agentFilePath(config);
  if (!existsSync(path)) return null;
  const { pid } = JSON.parse(readFileSync(path, 'utf8')) as { pid?: unknown };
  return typeof pid === 'number' && isProcessAlive(pid) ? pid : null;
}

function lookAtAgent(config: HostConfig): Finding {
  const pid = agentPid(config);
  if (pid !== null) return fine(`runs as process ${pid}`);
  return failed(
    'no agent runs on this host',
    'systemctl start leasehold-agent; journalctl -u leasehold-agent tells why it ended.',
  );
}

async function lookAtPorts(config: HostConfig): Promise<Finding> {
  const ports =
    config.role === 'database'
      ? { postgres: config.postgres.port, rest: config.restPort }
      : { ...config.ports, rest: config.restPort };
  const wanted = Object.entries(ports).filter(([, port]) => port !== 0);
  const taken: string[] = [];
  for (const [name, port] of wanted) if (!(await isFree(config.host, port))) taken.push(`${name} ${port}`);
  if (taken.length === 0) return fine(`${wanted.map(([, port]) => port).join(', ')} are free`);
  // What the agent started holds them; without an agent it may still be PostgreSQL or a proxy that runs on.
  if (agentPid(config) !== null) return fine(`in use by this host's programs: ${taken.join(', ')}`);
  return warning(`in use while no agent runs: ${taken.join(', ')}`, 'ss -ltnp tells by whom.');
}

/** By asking, not by listening: a server that starts at this moment must find its port free. */
function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: connectTimeoutMs });
    const end = (then: () => void) => {
      socket.destroy();
      then();
    };
    socket.once('connect', () => end(() => resolve(false)));
    socket.once('timeout', () => end(() => reject(new Error(`${host}:${port} gives no answer`))));
    socket.once('error', (error: NodeJS.ErrnoException) =>
      end(() =>
        error.code === 'ECONNREFUSED' ? resolve(true) : reject(new Error(`${host}:${port}: ${error.code}`)),
      ),
    );
  });
}

async function lookAtPostgres({ postgres }: DatabaseHostConfig): Promise<Finding> {
  const found = await findInstallation(postgres.binDir);
  if (found.kind === 'installation') return fine(`PostgreSQL ${found.version} in ${found.binDir}`);
  const lacks = found.incomplete.flatMap(({ missing }) => missing);
  const what =
    lacks.length > 0 ? ` lacks ${lacks.join(', ')}` : ' holds no PostgreSQL of a version that is supported';
  return failed(`${postgres.binDir}${what}`, 'Install the server package, or run leasehold-agent configure.');
}

async function lookAtProxyPrograms(): Promise<Finding> {
  const found = await findProxyPrograms();
  if (found.kind === 'found')
    return fine(`HAProxy ${found.haproxy.version}, PgBouncer ${found.pgbouncer.version}`);
  return failed(found.detail, `Install the package ${found.debianPackage}.`);
}

function lookAtGuard(config: DatabaseHostConfig): Finding {
  const guard = new Guard({
    script: '',
    fifo: guardFifoPath(config),
    dataDirectory: dataDirectory(config),
    postgresProgram: join(config.postgres.binDir, 'postgres'),
    logFile: guardLogPath(config),
  });
  if (guard.isAlive()) return fine(`runs as process ${guard.pid()}`);
  if (agentPid(config) === null) return failed('no guard runs', 'The agent starts one: start the agent.');
  return failed(
    'no guard runs although the agent does',
    'The agent starts it anew within a second; its log is log/guard.log.',
  );
}

function lookAtWatchdog({ watchdog }: DatabaseHostConfig): Finding {
  if (watchdog === null) return skipped('none is to be used');
  const advice = 'A primary that hangs as a whole is then fenced by others alone: see hosts.md.';
  if (!existsSync(watchdog)) return warning(`there is no ${watchdog}`, advice);
  try {
    accessSync(watchdog, constants.W_OK);
  } catch {
    return failed(`${watchdog} cannot be written`, 'Run this as root, or look at its mode.');
  }
  return fine(watchdog);
}
