/**
 * Finds PostgreSQL, HAProxy and PgBouncer on this machine, and installs the missing ones where it may (root, apt-get). The
 * packages' own services are kept from starting, now and at the next boot, and nothing of ours stays behind outside the project.
 */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { processStart, withLock } from './lock.js';
import { runChild } from './run-child.js';

/** What the PostgreSQL adapter calls; a test keeps the two lists equal. */
export const postgresPrograms = [
  'postgres',
  'initdb',
  'pg_ctl',
  'pg_basebackup',
  'pg_rewind',
  'pg_waldump',
  'pg_controldata',
];
const oldestMajor = 13;
const newestMajor = 18;
/** Packages that enable a service of their name for the next boot. */
const services = ['haproxy', 'pgbouncer', 'nftables'];
const policyFile = '/usr/sbin/policy-rc.d';
const clusterFile = '/etc/postgresql-common/createcluster.d/leasehold-setup.conf';
const marker = 'Written by Leasehold while it installs packages';

/**
 * Folders in which the programs may be, best first: what PATH names, then where Debian, Ubuntu and the PostgreSQL project's
 * own packages put them.
 * @returns {string[]}
 */
export function standardFolders(path = process.env.PATH ?? '') {
  /** @type {string[]} */
  const versioned = [];
  for (let major = newestMajor; major >= oldestMajor; major -= 1) {
    versioned.push(`/usr/lib/postgresql/${major}/bin`, `/usr/pgsql-${major}/bin`);
  }
  return [
    ...path.split(delimiter).filter(Boolean),
    ...versioned,
    '/usr/sbin',
    '/usr/local/sbin',
    '/usr/local/bin',
  ];
}

/** @param {string} file */
function isProgram(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * PostgreSQL counts only where all its programs are in one folder and the version is one we support.
 * @param {string} folder
 */
async function hasPostgres(folder) {
  if (!postgresPrograms.every((program) => isProgram(join(folder, program)))) return false;
  const answer = await runChild(join(folder, 'postgres'), ['--version'], { quiet: true });
  const major = Number(/\(PostgreSQL\) (\d+)/.exec(answer.output)?.[1]);
  return major >= oldestMajor && major <= newestMajor;
}

/**
 * The Debian packages whose programs are in none of the folders.
 * @param {string[]} folders
 * @returns {Promise<string[]>} of 'postgresql', 'haproxy', 'pgbouncer'
 */
export async function missingPackages(folders) {
  /** @type {string[]} */
  const missing = [];
  let postgres = false;
  for (const folder of folders) {
    postgres ||= await hasPostgres(folder);
  }
  if (!postgres) missing.push('postgresql');
  for (const program of ['haproxy', 'pgbouncer']) {
    if (!folders.some((folder) => isProgram(join(folder, program)))) missing.push(program);
  }
  return missing;
}

/**
 * What to tell somebody on whose machine we cannot install.
 * @param {string[]} packages
 */
export function howToInstall(packages) {
  return [
    `Missing: ${packages.join(', ')} (PostgreSQL ${oldestMajor} to ${newestMajor}, HAProxy and PgBouncer are needed).`,
    'On Debian or Ubuntu:',
    `  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages.join(' ')}`,
    'Elsewhere install the same programs and have them in PATH. None of their services needs to run.',
    'Without them: npm test -- --project unit --project property --project model --project simulation',
  ].join('\n');
}

/** @param {string[]} [folders] */
export const canInstall = (folders = (process.env.PATH ?? '').split(delimiter)) =>
  process.getuid?.() === 0 && folders.some((folder) => isProgram(join(folder, 'apt-get')));

/**
 * Writes a file that keeps services from starting, unless the machine's owner has one: theirs is left alone.
 * @param {string} path
 * @param {string} text
 * @returns {() => void} takes it away again, and the folders that were made for it
 */
function writeForNow(path, text) {
  if (existsSync(path) && !readFileSync(path, 'utf8').includes(marker)) return () => undefined;
  /** @type {string[]} */
  const made = [];
  for (let folder = dirname(path); !existsSync(folder); folder = dirname(folder)) made.push(folder);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, { mode: 0o755 });
  return () => {
    rmSync(path, { force: true });
    for (const folder of made) if (readdirSync(folder).length === 0) rmdirSync(folder);
  };
}

/**
 * Debian's answer to "may this service start?": no, while process `pid` lives. Should that process be killed in the middle, the file
 * left behind allows everything.
 * @param {number} pid
 */
export function policyText(pid) {
  return `#!/bin/sh
# ${marker}: services do not start. Without effect once process ${pid} is gone.
[ "$(sed 's/.*) //' /proc/${pid}/stat 2>/dev/null | cut -d' ' -f20)" = "${processStart(pid)}" ] && exit 101
exit 0
`;
}

/**
 * @param {string[]} packages
 * @param {(line: string) => void} say
 */
async function aptInstall(packages, say) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const patience = ['-o', 'DPkg::Lock::Timeout=300', '-o', 'Acquire::Retries=3'];
  const steps = [
    [...patience, 'update', '-qq'],
    [...patience, 'install', '-y', '-qq', '--no-install-recommends', ...packages],
  ];
  for (const args of steps) {
    const apt = await runChild('apt-get', args, { env, quiet: true });
    if (apt.code !== 0) {
      say(`${apt.output.trimEnd()}\napt-get failed with exit code ${apt.code}.`);
      return apt.code;
    }
  }
  return 0;
}

/**
 * Installs the packages, with apt-get and as root: ask `canInstall` first.
 * @param {string[]} packages
 * @param {(line: string) => void} say
 * @returns {Promise<number>} 0, or apt-get's exit code
 */
export async function installPackages(packages, say) {
  const onWait = (/** @type {number} */ pid) => say(`Waiting for another set-up (process ${pid}).`);
  return await withLock('/run/lock/leasehold-setup.lock', { onWait }, async () => {
    say(`Installing ${packages.join(', ')} with apt-get (once; their services are not started).`);
    const removals = [
      writeForNow(policyFile, policyText(process.pid)),
      writeForNow(clusterFile, `# ${marker}: no cluster of its own.\ncreate_main_cluster = false\n`),
    ];
    try {
      const code = await aptInstall(packages, say);
      if (code !== 0) return code;
    } finally {
      for (const remove of removals) remove();
    }
    if (existsSync('/run/systemd/system')) {
      for (const unit of services.filter((name) => packages.includes(name))) {
        await runChild('systemctl', ['disable', unit], { quiet: true });
      }
    }
    return 0;
  });
}
