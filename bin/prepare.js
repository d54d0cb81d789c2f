/**
 * Brings a machine to the point where a job can start: the servers first, because a missing one is said within seconds, then the
 * npm packages. Used by `setup.js` and `leasehold.js`.
 */
import { ensurePackages } from './packages.js';
import { canInstall, howToInstall, installPackages, missingPackages, standardFolders } from './servers.js';

const oldestNode = 20;

/**
 * One line for the user, on the error stream so that a command's own output stays clean.
 * @param {string} line
 */
export const say = (line) => process.stderr.write(`${line}\n`);

/**
 * @param {string} version as in process.versions.node
 * @returns {string | undefined} what to tell the user where this Node is too old to set the project up
 */
export function complaintAboutNode(version) {
  if (Number(version.split('.')[0]) >= oldestNode) return undefined;
  return `Leasehold needs Node ${oldestNode} or newer to set itself up (it then brings its own Node 24); this is ${version}.`;
}

/**
 * @param {{ root: string, servers: boolean, folders?: string[] }} wanted folders: where to look for the servers' programs
 * @returns {Promise<number>} 0 when all is there, else an exit code; the user has been told why
 */
export async function prepare(wanted) {
  const complaint = complaintAboutNode(process.versions.node);
  if (complaint) {
    say(complaint);
    return 1;
  }
  const folders = wanted.folders ?? standardFolders();
  const missing = wanted.servers ? await missingPackages(folders) : [];
  if (missing.length > 0) {
    if (!canInstall()) {
      say(howToInstall(missing));
      return 1;
    }
    const code = await installPackages(missing, say);
    if (code !== 0) return code;
    const still = await missingPackages(folders);
    if (still.length > 0) {
      say(howToInstall(still));
      return 1;
    }
  }
  return await ensurePackages(wanted.root, say);
}
