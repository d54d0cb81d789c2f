/**
 * A trial of the unit at work, as root: a Debian that debootstrap made is booted with its own systemd as the first process of a PID
 * namespace, and the rendered user data installs the real artifact in it, as cloud-init would. Then: READY, a restart and a kill of
 * the agent under its PostgreSQL, another release by `upgrade`, PostgreSQL in the unit's sandbox, the watchdog against a stopped agent, an
 * orderly shutdown by systemd, and the next boot. What the namespace is and is not, `boot-systemd.sh` and docs/hosts.md say.
 *
 *   debootstrap --variant=minbase --include=ca-certificates,python3,systemd,dbus bookworm ROOT
 *   node test/trial/try-systemd.ts ROOT
 *
 * The folder is changed by it: packages, a user, files below /opt, /etc and /var. Needs a loop device and cgroup2.
 */
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Machine, unit, until } from './machine.ts';
import {
  attachVolume,
  buildArtifact,
  pause,
  say,
  startServices,
  system,
  undoAll,
  userData,
} from './trial-host.ts';

const place = '/var/lib/leasehold';
const wrong: string[] = [];

function check(what: string, is: boolean): void {
  say(`${is ? 'ok' : 'WRONG'}: ${what}`);
  if (!is) wrong.push(what);
}

const psql = (sql: string) => [
  'runuser',
  '-u',
  'postgres',
  '--',
  'env',
  'PGPASSWORD=trial-1',
  'psql',
  '-h',
  '127.0.0.1',
  '-p',
  '25432',
  '-U',
  'postgres',
  '-Atqc',
  sql,
  'postgres',
];
/** `primary` once it is. */
const serving = (machine: Machine) => machine.ask('leasehold-agent', 'serving');

async function main(root: string): Promise<number> {
  const work = mkdtempSync(join(tmpdir(), 'leasehold-trial-'));
  const undo: (() => unknown)[] = [() => rmSync(work, { recursive: true, force: true })];
  try {
    const first = await buildArtifact(work);
    const second = repacked(first.path, work);
    const objects = { 'agent.tar.gz': readFileSync(first.path), 'agent-2.tar.gz': readFileSync(second.path) };
    const { environment } = await startServices(objects, undo);
    prepare(root, environment);
    const device = attachVolume(root, work, undo);
    writeFileSync(join(root, 'root', 'user-data'), userData(first.sha256), { mode: 0o700 });
    const cgroup = join(cgroup2(), 'leasehold-trial');
    undo.push(() => rmdirSync(cgroup));
    const log = openSync(join(work, 'console'), 'a');
    const boot = async (mountAt?: string) => {
      const machine = new Machine(
        [root, cgroup, device, ...(mountAt === undefined ? [] : [mountAt])],
        log,
        environment,
      );
      undo.push(() => machine.kill());
      if (!(await until('systemd is up', () => machine.isUp(), 60)))
        throw new Error(readFileSync(join(work, 'console'), 'utf8'));
      return machine;
    };

    say('the first boot');
    const machine = await boot();
    say(
      `${machine.ask('systemctl', '--version').split('\n')[0]}, ${machine.ask('ps', '-o', 'comm=', '-p', '1') || 'systemd'} is process 1`,
    );
    const code = await machine.run('/root/user-data');
    if (code !== 0) return code;
    await tryUnit(machine);
    await tryRestarts(machine);
    await tryRelease(machine, second.sha256);
    await trySandbox(machine);
    await tryWatchdog(machine, root);
    await tryShutdown(machine, root, device, work);

    say('the next boot');
    const next = await boot(place);
    check(
      'the agent is started by it and serves',
      await until('it serves', () => serving(next) === 'primary', 90),
    );
    check(
      'the agent was ended by SIGUSR2',
      next.ask('journalctl', '-u', unit, '-o', 'cat').includes('SIGUSR2'),
    );
    check('what was written is there', next.ask(...psql('select count(*) from kept')) === '1000');
    await tryProxy(next, root, first.sha256);
    await next.run('systemctl', 'poweroff');
    await next.ended;
    say(wrong.length === 0 ? 'all of it held' : `WRONG: ${wrong.join('; ')}`);
    return wrong.length === 0 ? 0 : 1;
  } finally {
    await undoAll(undo);
  }
}

/** A kernel may have cgroup2 beside the older kind. */
function cgroup2(): string {
  return existsSync('/sys/fs/cgroup/unified/cgroup.procs') ? '/sys/fs/cgroup/unified' : '/sys/fs/cgroup';
}

/** What an earlier trial left goes; each service finds AWS by its environment, as a unit of the host's would by the metadata service. */
function prepare(root: string, environment: readonly string[]): void {
  for (const left of [
    'etc/fstab',
    'opt/leasehold',
    'etc/leasehold',
    'var/lib/leasehold',
    'usr/local/bin/leasehold-agent',
  ])
    rmSync(join(root, left), { recursive: true, force: true });
  const units = join(root, 'etc/systemd/system');
  for (const name of readdirSync(units))
    if (name.startsWith('leasehold')) rmSync(join(units, name), { recursive: true });
  rmSync(join(units, 'multi-user.target.wants/leasehold-agent.service'), { force: true });
  rmSync(join(units, 'multi-user.target.wants/leasehold-init.service'), { force: true });
  mkdirSync(join(root, 'etc/systemd/system.conf.d'), { recursive: true });
  // So that the next boot can be asked what the one before logged.
  rmSync(join(root, 'var/log/journal'), { recursive: true, force: true });
  mkdirSync(join(root, 'var/log/journal'), { recursive: true });
  writeFileSync(
    join(root, 'etc/systemd/system.conf.d/trial.conf'),
    `[Manager]\nDefaultEnvironment=${environment
      .filter((line) => line.startsWith('AWS_'))
      .map((line) => `"${line}"`)
      .join(' ')}\n`,
  );
}

/** The same programs under another version. */
function repacked(path: string, work: string): { path: string; sha256: string } {
  const folder = join(work, 'second');
  mkdirSync(folder);
  system('tar', '-xzf', path, '-C', folder);
  const version = `${readFileSync(join(folder, 'VERSION'), 'utf8').trim()}-again`;
  writeFileSync(join(folder, 'VERSION'), `${version}\n`);
  const again = join(work, 'agent-2.tar.gz');
  system('tar', '-czf', again, '-C', folder, '.');
  return { path: again, sha256: system('sha256sum', again).split(' ')[0] ?? '' };
}

const postmaster = (machine: Machine) =>
  machine.ask('head', '-n', '1', `${place}/data/pgdata/postmaster.pid`);

async function tryUnit(machine: Machine): Promise<void> {
  check(
    'the unit becomes active by READY',
    await until('active', () => machine.property('ActiveState') === 'active'),
  );
  check(
    `it says so: ${machine.property('StatusText')}`,
    machine.property('StatusText').startsWith('runs as process'),
  );
  check('the host becomes primary', await until('primary', () => serving(machine) === 'primary', 90));
  check(
    'the init script runs once',
    await until(
      'done',
      () =>
        machine.property('ActiveState') === 'active' &&
        machine.ask('systemctl', 'is-active', 'leasehold-init.service') === 'active',
    ),
  );
  say(
    `in its cgroup: ${machine.ask('sh', '-c', `cat /sys/fs/cgroup/system.slice/${unit}/cgroup.procs | wc -l`)} processes`,
  );
}

async function tryRestarts(machine: Machine): Promise<void> {
  const before = postmaster(machine);
  const [file = '', ...rest] = machine.enter(psql("select pg_sleep(20), 'was not cut'"));
  const client = spawn(file, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  let heard = '';
  client.stdout.on('data', (data: Buffer) => {
    heard += data.toString();
  });
  const closed = new Promise((resolve) => client.once('close', resolve));
  await pause(1_000);
  const pid = machine.property('MainPID');
  await machine.run('systemctl', 'restart', unit);
  check('a restart brings another agent', machine.property('MainPID') !== pid);
  check('it serves', await until('it serves', () => serving(machine) === 'primary', 30));
  check('under the same postmaster', postmaster(machine) === before);
  const agent = machine.property('MainPID');
  machine.ask('sh', '-c', `kill -KILL ${agent}`);
  check(
    'an agent that is killed is started again',
    await until('another', () => !['0', agent].includes(machine.property('MainPID')), 10),
  );
  check('it serves', await until('it serves', () => serving(machine) === 'primary', 30));
  check('under the same postmaster', postmaster(machine) === before);
  await closed;
  check('a client that was connected all the time was not cut', heard.includes('was not cut'));
}

async function tryRelease(machine: Machine, sha256: string): Promise<void> {
  const before = postmaster(machine);
  const code = await machine.run('leasehold-agent', 'upgrade', '--key', 'agent-2.tar.gz', '--sha256', sha256);
  check(
    'another release is brought and runs',
    code === 0 && machine.ask('leasehold-agent', 'version').endsWith('-again'),
  );
  check('under the same postmaster', postmaster(machine) === before);
}

/** What PostgreSQL does beyond reading and writing its folder: workers, shared memory, temporary files, just-in-time code, replication. */
async function trySandbox(machine: Machine): Promise<void> {
  machine.ask(...psql('create table kept as select i from generate_series(1, 1000) i; checkpoint'));
  check('PostgreSQL writes', machine.ask(...psql('select count(*) from kept')) === '1000');
  const parallel =
    'set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set max_parallel_workers_per_gather = 2; set jit_above_cost = 0; set jit_inline_above_cost = 0; select sum(a.i) from kept a join kept b using (i)';
  check('parallel workers and just-in-time code work', machine.ask(...psql(parallel)) === '500500');
  const sort =
    "set work_mem = '64kB'; select count(*) from (select i, random() r from generate_series(1, 300000) i order by r) s";
  check('temporary files work', machine.ask(...psql(sort)) === '300000');
  const backup = [
    'runuser',
    '-u',
    'postgres',
    '--',
    'env',
    'PGPASSWORD=trial-2',
    'pg_basebackup',
    '-h',
    '127.0.0.1',
    '-p',
    '25432',
    '-U',
    'replicator',
    '-D',
    '/tmp/copy',
    '-X',
    'stream',
  ];
  machine.ask(...backup);
  check('a base backup works', machine.ask('ls', '/tmp/copy/PG_VERSION') !== '');
  machine.ask('rm', '-rf', '/tmp/copy');
  const status = machine.ask('cat', `/proc/${postmaster(machine)}/status`);
  check('PostgreSQL can gain no privileges', /NoNewPrivs:\s*1/.test(status) && /Seccomp:\s*2/.test(status));
  await machine.run('leasehold-agent', 'doctor');
}

/** Ten minutes are shortened to six seconds for the trial. */
async function tryWatchdog(machine: Machine, root: string): Promise<void> {
  const drop = join(root, 'etc/systemd/system', `${unit}.d`);
  mkdirSync(drop, { recursive: true });
  writeFileSync(join(drop, 'trial.conf'), '[Service]\nWatchdogSec=6\n');
  await machine.run('systemctl', 'daemon-reload');
  await machine.run('systemctl', 'restart', unit);
  await until('it serves', () => serving(machine) === 'primary', 30);
  await pause(10_000);
  const agent = machine.property('MainPID');
  check('an agent that lives is left alone', machine.property('NRestarts') === '0');
  const before = machine.property('NRestarts');
  const stoppedMs = Date.now();
  machine.ask('sh', '-c', `kill -STOP ${agent}`);
  const came = await until('another agent', () => !['0', agent].includes(machine.property('MainPID')), 60);
  check(
    `a stopped agent is killed and started again, after ${((Date.now() - stoppedMs) / 1000).toFixed(1)} s`,
    came,
  );
  say(
    `restarts: ${before}, then ${machine.property('NRestarts')}; the last result: ${machine.property('Result')}`,
  );
  check('it serves again', await until('it serves', () => serving(machine) === 'primary', 60));
  rmSync(join(drop, 'trial.conf'));
  await machine.run('systemctl', 'daemon-reload');
  await machine.run('systemctl', 'restart', unit);
  check('it serves', await until('it serves', () => serving(machine) === 'primary', 30));
}

async function tryShutdown(machine: Machine, root: string, device: string, work: string): Promise<void> {
  const controlData = `${system('chroot', root, 'sh', '-c', 'ls -d /usr/lib/postgresql/*/bin').split('\n')[0]}/pg_controldata`;
  const [file = '', ...rest] = machine.enter(psql('select pg_sleep(600)'));
  spawn(file, rest, { stdio: 'ignore' });
  await pause(1_000);
  const startedMs = Date.now();
  await machine.run('systemctl', 'poweroff');
  await Promise.race([machine.ended, pause(120_000)]);
  const took = ((Date.now() - startedMs) / 1000).toFixed(1);
  const mountAt = join(work, 'volume-after');
  mkdirSync(mountAt);
  system('mount', device, mountAt);
  try {
    const inRoot = join(root, 'mnt');
    system('mount', '--bind', mountAt, inRoot);
    const control = system('chroot', root, 'env', 'LC_ALL=C', controlData, '/mnt/data/pgdata');
    system('umount', inRoot);
    const state = /^Database cluster state:\s*(.*)$/m.exec(control)?.[1] ?? '';
    check(
      `a shutdown, of ${took} s, under a connected client, ends PostgreSQL in order: ${state}`,
      state === 'shut down',
    );
  } finally {
    system('umount', mountAt);
  }
}

/** In the same machine, whose node ends for it: HAProxy and PgBouncer in the unit's sandbox, and under a restart of it. */
async function tryProxy(machine: Machine, root: string, sha256: string): Promise<void> {
  say('a proxy host in its place');
  await machine.run('sh', '-c', `systemctl show --value -p MainPID ${unit} | xargs kill -USR2`);
  await machine.run('systemctl', 'stop', unit);
  writeFileSync(join(root, 'root', 'user-data'), userData(sha256, 'proxy'), { mode: 0o700 });
  const code = await machine.run('/root/user-data');
  check('it is installed', code === 0);
  const pids = () => machine.ask('pidof', 'haproxy', 'pgbouncer');
  check(
    'the unit is active, and both programs run',
    await until('both', () => machine.property('ActiveState') === 'active' && pids().split(' ').length >= 2),
  );
  const before = pids();
  await machine.run('systemctl', 'restart', unit);
  await pause(3_000);
  check(`a restart leaves them alone: ${before}`, pids() === before);
  await machine.run('leasehold-agent', 'doctor');
}

const root = process.argv[2];
if (root === undefined || process.getuid?.() !== 0) {
  process.stderr.write('usage, as root: node test/trial/try-systemd.ts ROOT\n');
  process.exitCode = 2;
} else {
  process.exitCode = await main(root);
}
