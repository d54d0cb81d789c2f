/** Runs `ip`, `nft` and the like, which make and change network namespaces. All of them answer within milliseconds. */
import { execFile } from 'node:child_process';
import { enter } from './network-plan.ts';

const toolTimeoutMs = 10_000;
/** Root's tools are not in everybody's PATH. */
const toolPath = `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`;

/** Standard output; throws what the tool says, with its command line. */
export function runTool(argv: readonly [string, ...string[]], input = ''): Promise<string> {
  const [file, ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = execFile(
      file,
      args,
      { timeout: toolTimeoutMs, env: { PATH: toolPath, LANG: 'C' } },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const said = stderr.trim() === '' ? error.message : stderr.trim();
        reject(new Error(`${argv.join(' ')}: ${said}`));
      },
    );
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

/** Gives nftables a ruleset in that namespace: all of it is in force when this returns, or nothing of it. */
export async function applyRules(namespace: string, ruleset: string): Promise<void> {
  const [program, ...args] = enter(namespace);
  await runTool([program, ...args, 'nft', '-f', '-'], ruleset);
}

/** Names of the tables that nftables has in that namespace. */
export async function tablesOf(namespace: string): Promise<string[]> {
  const [program, ...args] = enter(namespace);
  const text = await runTool([program, ...args, 'nft', 'list', 'tables']);
  return text
    .split('\n')
    .map((line) => /^table inet (\S+)$/.exec(line)?.[1])
    .filter((name) => name !== undefined);
}
