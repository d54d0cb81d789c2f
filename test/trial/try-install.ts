/**
 * A trial of a host's first boot, as root: the rendered user data, with the real artifact, in a Debian that debootstrap made, against a metadata
 * service, a bucket that verifies signatures, a Secrets Manager and a DynamoDB on loopback. Twice, because a second boot must change nothing.
 * Then the installed agent runs with the capabilities of its unit alone: it makes PostgreSQL and becomes primary, tells a socket in
 * systemd's place that it is up, is restarted under its PostgreSQL, and ends the host. What it cannot try, for nothing of systemd runs in a
 * chroot, docs/hosts.md says.
 *
 *   debootstrap --variant=minbase --include=ca-certificates,python3,systemd bookworm ROOT
 *   node test/trial/try-install.ts ROOT
 *
 * The folder is changed by it: packages, a user, files below /opt, /etc and /var. Needs a loop device.
 */
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  attachVolume,
  buildArtifact,
  pause,
  run,
  say,
  startServices,
  system,
  undoAll,
  userData,
} from './trial-host.ts';

async function main(root: string): Promise<number> {
  const work = mkdtempSync(join(tmpdir(), 'leasehold-trial-'));
  const undo: (() => unknown)[] = [() => rmSync(work, { recursive: true, force: true })];
  try {
    const artifact = await buildArtifact(work);
    const environment = (await startServices({ 'agent.tar.gz': readFileSync(artifact.path) }, undo))
      .environment;
    mountSystem(root, undo);
    // Of an earlier trial: its volume is gone.
    for (const place of ['etc/fstab', 'opt/leasehold'])
      rmSync(join(root, place), { recursive: true, force: true });
    const device = attachVolume(root, work, undo);
    writeFileSync(join(root, 'root', 'user-data'), userData(artifact.sha256), { mode: 0o700 });
    const inside = (...words: string[]) => run(['chroot', root, 'env', ...environment, ...words]);
    for (const boot of ['first', 'second']) {
      say(`the ${boot} boot`);
      const code = await inside('/root/user-data');
      if (code !== 0) return code;
    }
    say(`the volume: ${system('blkid', '-p', device)}`);
    say('the units, by systemd-analyze');
    await inside('systemd-analyze', 'verify', '--man=no', '/etc/systemd/system/leasehold-agent.service');
    return await tryAgent(root, environment, undo);
  } finally {
    await undoAll(undo);
  }
}

/** Listens where systemd would, and notes what it is told. */
const notifySocket = '/run/trial-notify';
const listener = `
import socket
heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
heard.bind('${notifySocket}')
print('listening', flush=True)
while True:
    print('systemd hears: ' + heard.recv(4096).decode().strip().replace(chr(10), ', '), flush=True)
`;

async function tryAgent(
  root: string,
  environment: readonly string[],
  undo: (() => unknown)[],
): Promise<number> {
  rmSync(join(root, notifySocket), { force: true });
  const begin = (words: readonly string[], log?: number) => {
    const child = spawn('chroot', [root, 'env', ...environment, ...words], {
      stdio: ['ignore', log ?? 'inherit', log ?? 'inherit'],
    });
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    undo.push(() => void child.kill('SIGKILL'));
    return { child, ended };
  };
  begin(['python3', '-c', listener]);
  await until(30, async () => existsSync(join(root, notifySocket)));
  const unit = readFileSync(join(root, 'etc/systemd/system/leasehold-agent.service'), 'utf8');
  const kept = /^CapabilityBoundingSet=(.*)$/m.exec(unit)?.[1]?.split(' ') ?? [];
  const bounding = kept.map((name) => `,+${name.toLowerCase().replace(/^cap_/, '')}`).join('');
  const told = [`NOTIFY_SOCKET=${notifySocket}`, 'WATCHDOG_USEC=6000000'];
  const log = openSync(join(root, 'var/log/trial-agent.log'), 'w');
  const sandboxed = ['setpriv', `--bounding-set=-all${bounding}`, '--no-new-privs'];
  const startAgent = () =>
    begin([...told, ...sandboxed, '/opt/leasehold/current/bin/leasehold-agent', 'run'], log);
  const inside = (...words: string[]) => run(['chroot', root, 'env', ...environment, ...words]);
  const serves = async () => (await inside('leasehold-agent', 'serving')) === 0;

  say(`the agent, with ${kept.length} capabilities`);
  const first = startAgent();
  await until(90, serves);
  await pause(5_000);
  say('the doctor of a host that serves, alone and without Step Functions');
  await inside('leasehold-agent', 'doctor');
  const postmaster = () =>
    readFileSync(join(root, 'var/lib/leasehold/data/pgdata/postmaster.pid'), 'utf8').split('\n')[0];
  const before = postmaster();
  say('a restart of the agent, as systemd does it');
  await inside('/opt/leasehold/current/bin/leasehold-agent', 'stop', String(first.child.pid));
  await first.ended;
  const second = startAgent();
  await until(30, serves);
  const same = before === postmaster();
  say(`the postmaster is ${same ? 'the same' : 'ANOTHER ONE'}: ${before}`);
  say('the init script');
  await inside('/opt/leasehold/current/bin/run-init-script.sh');
  say('the end of the host');
  second.child.kill('SIGUSR2');
  await second.ended;
  const left = readdirSync('/proc').filter(
    (pid) => /^\d+$/.test(pid) && isBelow(pid, join(root, 'var/lib/leasehold')),
  );
  say(`${left.length} processes are left on the data volume`);
  if (!same || left.length > 0) return 1;

  say('a proxy host in its place');
  const data = userData(
    readFileSync(
      join(root, system('chroot', root, 'readlink', '/opt/leasehold/current'), '.sha256'),
      'utf8',
    ).trim(),
    'proxy',
  );
  writeFileSync(join(root, 'root', 'user-data'), data, { mode: 0o700 });
  const code = await inside('/root/user-data');
  if (code !== 0) return code;
  const proxy = startAgent();
  await pause(8_000);
  say('the doctor of a proxy host, whose cluster is down');
  await inside('leasehold-agent', 'doctor');
  proxy.child.kill('SIGUSR2');
  await proxy.ended;
  const proxies = readdirSync('/proc').filter((pid) => isBelow(pid, join(root, 'usr/sbin'), 'exe'));
  say(`${proxies.length} proxy programs are left`);
  return proxies.length === 0 ? 0 : 1;
}

function isBelow(pid: string, folder: string, what: 'cwd' | 'exe' = 'cwd'): boolean {
  try {
    return readlinkSync(`/proc/${pid}/${what}`).startsWith(folder);
  } catch {
    return false;
  }
}

async function until(seconds: number, isTrue: () => Promise<boolean>): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    if (await isTrue()) return;
    await pause(1_000);
  }
  throw new Error(`not within ${seconds} s; the agent's log is var/log/trial-agent.log`);
}

function mountSystem(root: string, undo: (() => unknown)[]): void {
  const mounts = [
    ['-t', 'proc', 'proc', 'proc'],
    ['-t', 'sysfs', 'sysfs', 'sys'],
    ['--bind', '/dev', 'dev'],
    ['-t', 'tmpfs', 'tmpfs', 'dev/shm'],
  ];
  for (const words of mounts) {
    const place = join(root, words.at(-1) ?? '');
    system('mount', ...words.slice(0, -1), place);
    undo.push(() => system('umount', place));
  }
}

const root = process.argv[2];
if (root === undefined || process.getuid?.() !== 0) {
  process.stderr.write('usage, as root: node test/trial/try-install.ts ROOT\n');
  process.exitCode = 2;
} else {
  process.exitCode = await main(root);
}
