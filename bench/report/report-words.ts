/** What the report says in words, the same in each of its forms: what each suite measures, and the circumstances of a result. Pure. */
import { type BenchResult, type SuiteName, suiteNames } from './bench-result.ts';

export interface SuiteWords {
  readonly title: string;
  readonly measures: string;
  /** Without options: all of them have defaults. */
  readonly command: string;
}

export const suiteWords: Readonly<Record<SuiteName, SuiteWords>> = {
  failover: {
    title: 'Failover',
    measures:
      'What clients see when a primary is switched over, killed, stopped or cut off: how long no write was acknowledged, what failed, what was lost.',
    command: 'npm run bench -- failover',
  },
  throughput: {
    title: 'Throughput',
    measures:
      'How many transactions a second each way to the database carries, and what the proxies and the agent cost.',
    command: 'npm run bench -- throughput',
  },
  cost: {
    title: 'Cost of being there',
    measures: 'What agents and guards take on each host, and which requests to AWS they make, priced.',
    command: 'npm run bench -- cost',
  },
  scale: {
    title: 'Scale',
    measures:
      'Many clusters against one table: requests a second, conflicts, latency, deadlines that were missed.',
    command: 'npm run bench -- scale',
  },
};

export const reportTitle = 'Leasehold, measured';

/** One circumstance of a result. */
export interface Fact {
  readonly label: string;
  readonly text: string;
  /** To be shown as what one types or reads on a terminal. */
  readonly isCode?: true;
  /** The same as `text`, in pairs. */
  readonly pairs?: readonly (readonly [string, string])[];
}

export function circumstances(result: BenchResult): Fact[] {
  const { machine } = result;
  return [
    { label: 'Measured', text: formatInstant(result.madeAt) },
    { label: 'Command', text: result.command, isCode: true },
    { label: 'Commit', text: formatCommit(result.commit) },
    {
      label: 'Machine',
      text: `${machine.processor}, ${machine.cores} ${machine.cores === 1 ? 'core' : 'cores'}, ${formatGibibytes(machine.memoryBytes)}, kernel ${machine.kernel}`,
    },
    paired('Programs', machine.versions),
    paired('Settings', result.settings),
  ];
}

/** What one should know before comparing sections with one another; empty where there is nothing. */
export function cautions(results: readonly BenchResult[]): string[] {
  const found: string[] = [];
  if (new Set(results.map(({ commit }) => commit)).size > 1) {
    found.push('Sections were measured at different commits.');
  }
  if (new Set(results.map(({ machine: { processor, cores } }) => `${processor} ${cores}`)).size > 1) {
    found.push(
      'Sections were measured on different machines: do not compare figures of one with figures of another.',
    );
  }
  if (results.some(({ commit }) => commit?.endsWith('+changes'))) {
    found.push('A section was measured with changes that no commit holds: it cannot be made again exactly.');
  }
  return found;
}

export function missingSuites(results: readonly BenchResult[]): SuiteName[] {
  return suiteNames.filter((suite) => results.every((result) => result.suite !== suite));
}

/** In the order of the suites; of one suite, the oldest first. */
export function inOrder(results: readonly BenchResult[]): BenchResult[] {
  const rank = ({ suite }: BenchResult) => suiteNames.indexOf(suite);
  return [...results].sort(
    (left, right) => rank(left) - rank(right) || Date.parse(left.madeAt) - Date.parse(right.madeAt),
  );
}

/** To the minute. */
export function formatInstant(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
}

function formatCommit(commit: string | null): string {
  if (commit === null) return 'not known (measured outside of git)';
  return commit.replace(/\+changes$/, ', with changes that no commit holds');
}

function formatGibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

function paired(label: string, values: Readonly<Record<string, string | number | boolean>>): Fact {
  const pairs = Object.entries(values).map(([key, value]) => [key, inWords(value)] as const);
  return { label, pairs, text: pairs.map(([key, value]) => `${key} ${value}`).join('; ') || 'none' };
}

function inWords(value: string | number | boolean): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'number' ? value.toLocaleString('en-US', { maximumFractionDigits: 8 }) : value;
}
