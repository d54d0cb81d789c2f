/**
 * Freezes a file system, and makes sure that it is thawed: whoever writes to a frozen one hangs, and no signal helps. A shell of its
 * own freezes it and thaws it when its standard input ends, which it does with the process that asked, however that ends; when it
 * is told to end; and at the latest when the time is up.
 */
import { spawn } from 'node:child_process';
import type { Undo } from './fault.ts';

const longestSeconds = 90;
const freezeTimeoutMs = 10_000;

/** The folder is not among its arguments: it would be taken for one of the host's processes, and killed with them. */
const watchdog = `
thaw() {
  for _ in {1..100}; do
    mountpoint --quiet "$LEASEHOLD_VOLUME" || exit 0
    fsfreeze --unfreeze "$LEASEHOLD_VOLUME" && exit 0
    sleep 0.1
  done
  exit 1
}
trap 'exit 0' TERM INT HUP
# Not a file system of its own: it would be the machine's that is frozen.
mountpoint "$LEASEHOLD_VOLUME" >&2 || exit 1
fsfreeze --freeze "$LEASEHOLD_VOLUME" || exit 1
trap thaw EXIT
echo frozen
read -r -t ${longestSeconds} _
exit 0
`;

/** Resolves once nothing can be written there; reads of what is cached still work. The undo resolves once writing goes on. */
export async function freezeVolume(folder: string): Promise<Undo> {
  // --norc: with a socket for its standard input bash takes itself for a remote shell, and reads its owner's file.
  const child = spawn('bash', ['--norc', '--noprofile', '-c', watchdog], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      PATH: `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`,
      LANG: 'C',
      LEASEHOLD_VOLUME: folder,
    },
  });
  child.stdin.on('error', () => undefined);
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const ended = new Promise<number | null>((resolve) => {
    child.once('error', () => resolve(null)).once('close', resolve);
  });
  const frozen = new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => resolve(false), freezeTimeoutMs);
    child.stdout.once('data', () => resolve(true));
    void ended.then(() => resolve(false)).finally(() => clearTimeout(timer));
  });
  if (!(await frozen)) {
    child.stdin.end();
    throw new Error(`${folder} could not be frozen: ${said.trim()}`);
  }
  return async () => {
    child.stdin.end();
    const code = await ended;
    if (code !== 0) throw new Error(`${folder} could not be thawed: ${said.trim()}`);
  };
}
