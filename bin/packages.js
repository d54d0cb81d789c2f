/**
 * Makes sure that node_modules is what package-lock.json says, Node 24 included, and installs it where it is not. A stamp in
 * node_modules keeps the hash of the lock file it was made from, so that a second start costs a few milliseconds.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withLock } from './lock.js';
import { runChild } from './run-child.js';

/** @param {string} root */
const lockFile = (root) => join(root, 'package-lock.json');
/** @param {string} root */
const stampFile = (root) => join(root, 'node_modules', '.leasehold-stamp');

/**
 * The Node 24 that comes with the packages.
 * @param {string} root the project's folder
 */
export const projectNode = (root) => join(root, 'node_modules', '.bin', 'node');

/** @param {string} root */
const lockHash = (root) =>
  createHash('sha256')
    .update(readFileSync(lockFile(root)))
    .digest('hex');

/** @param {string} path */
const readText = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : '');

/**
 * npm writes what it installed into node_modules/.package-lock.json when all is done: after somebody else's `npm ci` or
 * `npm install` the tree can be right although the stamp is missing.
 * @param {string} root
 */
function treeMatchesLock(root) {
  const installed = readText(join(root, 'node_modules', '.package-lock.json'));
  if (!installed) return false;
  const present = JSON.parse(installed).packages;
  const wanted = Object.entries(JSON.parse(readText(lockFile(root))).packages);
  return wanted.every(
    ([path, entry]) => path === '' || entry.optional || present[path]?.version === entry.version,
  );
}

/**
 * Whether node_modules can be used as it is. Renews the stamp where only that is missing.
 * @param {string} root
 */
export function packagesAreReady(root) {
  if (!existsSync(projectNode(root))) return false;
  const hash = lockHash(root);
  if (readText(stampFile(root)) === hash) return true;
  if (!treeMatchesLock(root)) return false;
  writeFileSync(stampFile(root), hash);
  return true;
}

/**
 * Installs the packages where needed. One line where it works, npm's whole output where it does not.
 * @param {string} root the project's folder
 * @param {(line: string) => void} say
 * @returns {Promise<number>} 0, or the exit code of npm
 */
export async function ensurePackages(root, say) {
  if (packagesAreReady(root)) return 0;
  const onWait = (/** @type {number} */ pid) => say(`Waiting for another set-up (process ${pid}).`);
  return await withLock(join(root, '.leasehold', 'setup.lock'), { onWait }, async () => {
    if (packagesAreReady(root)) return 0;
    say('Installing the npm packages (once, half a minute or so).');
    const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'];
    const npm = await runChild('npm', args, { cwd: root, quiet: true });
    if (npm.code !== 0) {
      say(`${npm.output.trimEnd()}\nnpm ci failed with exit code ${npm.code}.`);
      return npm.code;
    }
    if (!existsSync(projectNode(root))) {
      say(
        'npm ci left no Node 24 behind: install scripts must be allowed (npm config set ignore-scripts false).',
      );
      return 1;
    }
    writeFileSync(stampFile(root), lockHash(root));
    return 0;
  });
}
