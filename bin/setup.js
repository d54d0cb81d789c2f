#!/usr/bin/env node
/**
 * `npm start`, `npm test`, `npm run chaos`, `npm run faults` and `npm run bench`, on a machine that may have nothing but Node 20: makes sure of the
 * servers and the npm packages, then runs the job with the project's own Node 24 and ends with its exit code. `install` is for `.ci/run`: Debian
 * packages, with their services kept from starting.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectNode } from './packages.js';
import { prepare, say } from './prepare.js';
import { runChild } from './run-child.js';
import { canInstall, installPackages } from './servers.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Test projects that start no PostgreSQL, HAProxy or PgBouncer. */
const withoutServers = new Set(['unit', 'property', 'model', 'simulation', 'style', 'infra']);

/**
 * @param {string[]} args vitest's arguments
 * @returns {boolean} false only where every project asked for by name does without the servers
 */
function testsNeedServers(args) {
  const projects = args.flatMap((arg, at) => {
    if (arg === '--project') return args[at + 1] ?? [];
    return arg.startsWith('--project=') ? arg.slice('--project='.length) : [];
  });
  return projects.length === 0 || !projects.every((project) => withoutServers.has(project));
}

/**
 * @param {string[]} args a suite and its options
 * @returns {boolean} false for the report of what was measured before, for agents without PostgreSQL, for servers elsewhere, and for help
 */
function benchNeedsServers([suite = '', ...options]) {
  const elsewhere = options.some((option) => /^--dsn(=|$)/.test(option));
  return !(
    suite === '' ||
    suite.startsWith('-') ||
    suite === 'report' ||
    suite === 'scale' ||
    elsewhere ||
    options.includes('--help')
  );
}

/** @type {Record<string, { servers: (args: string[]) => boolean, command: string[] }>} */
const jobs = {
  start: { servers: () => true, command: ['local/main-job.ts'] },
  test: { servers: testsNeedServers, command: ['node_modules/vitest/vitest.mjs', 'run'] },
  chaos: { servers: () => true, command: ['bench/chaos.ts'] },
  faults: { servers: () => true, command: ['bench/fault-table.ts'] },
  bench: { servers: benchNeedsServers, command: ['bench/main.ts'] },
  interruptions: { servers: () => true, command: ['bench/interruptions.ts'] },
};

/**
 * @param {string[]} packages
 * @returns {Promise<number>}
 */
async function install(packages) {
  if (canInstall()) return await installPackages(packages, say);
  say('Installing needs root and apt-get.');
  return 1;
}

const [name = '', ...args] = process.argv.slice(2);
const job = jobs[name];
if (name === 'install' && args.length > 0) {
  process.exitCode = await install(args);
} else if (job) {
  const prepared = await prepare({ root, servers: job.servers(args) });
  process.exitCode = prepared;
  if (prepared === 0) {
    const [script = '', ...rest] = job.command;
    const child = await runChild(projectNode(root), [join(root, script), ...rest, ...args], { cwd: root });
    process.exitCode = child.code;
  }
} else {
  say(
    `usage: node bin/setup.js ${Object.keys(jobs).join('|')} [arguments]\n       node bin/setup.js install <Debian packages>`,
  );
  process.exitCode = 2;
}
