/** What is known of the machine that a bench runs on, and of the programs that took part: the context of every figure. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { checkout } from '../../local/runtime/build-artifacts.ts';
import type { MachineFacts } from '../report/bench-result.ts';

/** `versions`: of the programs other than Node that took part. */
export function machineFacts(versions: Readonly<Record<string, string>>): MachineFacts {
  const [processor] = cpus();
  return {
    processor: processor?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    versions: { node: process.versions.node, ...versions },
  };
}

/** The first number with dots in what `program --version` prints; `absent` where it does not run. */
export function programVersion(program: string, flag = '--version'): string {
  const { stdout, stderr, error } = spawnSync(program, [flag], { encoding: 'utf8', timeout: 10_000 });
  if (error !== undefined) return 'absent';
  return /\d+(?:\.\d+)+/.exec(`${stdout}${stderr}`)?.[0] ?? 'unknown';
}

/** The checked-out commit, `+changes` where files differ from it; null where this is no git checkout. */
export function checkedOutCommit(): string | null {
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: checkout,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const commit = git('rev-parse', '--short', 'HEAD');
    return git('status', '--porcelain') === '' ? commit : `${commit}+changes`;
  } catch {
    return null;
  }
}
