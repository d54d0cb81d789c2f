/**
 * `npm run bench -- throughput`: how much PostgreSQL does for its clients by each way to it, where a ramp of clients saturates it, what the
 * agents' presence costs, and whether the figures are the database's or the client's. Of a cluster of this machine, or of endpoints by `--dsn`.
 */
import { checkedOutCommit, machineFacts, programVersion } from '../measure/machine-facts.ts';
import { InvalidOption, readModes, readNumber, readSome, suiteOptions } from '../read-options.ts';
import { renderTables } from '../report/render-markdown.ts';
import { saveResult } from '../report/result-files.ts';
import type { SuiteCommand } from '../suite-command.ts';
import { readScale } from './choose-scale.ts';
import { readDsns, withoutPasswords } from './given-target.ts';
import { runThroughput, type WantedThroughput } from './run-throughput.ts';
import { type EmbeddedPath, embeddedPaths } from './target.ts';
import { throughputResult } from './throughput-result.ts';
import { workloads } from './workloads.ts';

interface Options {
  readonly workloads: string;
  readonly paths: string;
  readonly clients: string;
  readonly modes: string;
  readonly runs: string;
  readonly seconds: string;
  readonly warmUp: string;
  readonly scale: string;
  readonly rate?: string;
  readonly sampling: string;
  readonly sharedBuffers?: string;
  readonly dsn: readonly string[];
  readonly indexes: boolean;
  readonly foreignKeys: boolean;
  readonly explicitTransactions: boolean;
  readonly withoutAgent: boolean;
}

const say = (line: string) => process.stdout.write(`${line}\n`);
const workloadNames = workloads.map(({ name }) => name);
const pathNames = Object.keys(embeddedPaths) as EmbeddedPath[];
const mostClients = 1_000;

export const throughputSuite: SuiteCommand = {
  command: () =>
    suiteOptions('throughput', 'How much the database does for its clients, by each way to it.')
      .option('--workloads <names>', `all, or of ${workloadNames.join(', ')}`, 'tpcb,select,payments')
      .option('--paths <names>', `all, or of ${pathNames.join(', ')}`, 'direct,haproxy,pgbouncer,both')
      .option('--clients <numbers>', 'one number, or a ramp such as 1,2,4,8,16,32', '8')
      .option('--modes <modes>', 'synchronous replication: all, or of off, on, strict', 'off')
      .option('--runs <number>', 'of each workload and path, interleaved', '3')
      .option('--seconds <number>', 'of each measurement', '10')
      .option('--warm-up <seconds>', 'before each measurement, by the same way; 0: none', '2')
      .option('--scale <scale>', "pgbench's scale, beyond-buffers or beyond-memory", '10')
      .option('--shared-buffers <size>', "PostgreSQL's shared_buffers, such as 1GB")
      .option('--rate <number>', 'transactions a second at scheduled times, instead of as many as can be')
      .option('--sampling <share>', 'of the transactions whose latency is kept, up to 1', '1')
      .option('--indexes', 'secondary indexes', false)
      .option('--foreign-keys', 'foreign keys between the tables', false)
      .option('--explicit-transactions', 'BEGIN and COMMIT around each sequence of statements', false)
      .option('--without-agent', 'between the runs, the same servers without an agent', false)
      .option(
        '--dsn <path=dsn>',
        'an endpoint to measure instead of a cluster of this machine; again for more; replicas=... leads to standbys',
        (value: string, former: readonly string[]) => [...former, value],
        [] as readonly string[],
      ),
  run: async (options, signal) => {
    const throughput = await runThroughput(readWanted(options as Options), signal, say);
    const result = throughputResult(throughput, {
      madeAt: new Date().toISOString(),
      command: withoutPasswords(`npm run bench -- ${process.argv.slice(2).join(' ')}`),
      commit: checkedOutCommit(),
      machine: machineFacts({
        postgres: throughput.facts.version,
        haproxy: programVersion('haproxy', '-v'),
        pgbouncer: programVersion('pgbouncer'),
      }),
    });
    say(`\n${renderTables(result)}\nwritten to ${saveResult(result)}`);
    return throughput.cells.every(({ outcome }) => outcome === 'measured') ? 0 : 1;
  },
};

export function readWanted(options: Options): WantedThroughput {
  const names = readSome('workloads', options.workloads, workloadNames);
  const given = readDsns(options.dsn);
  const paths = readSome('paths', options.paths, pathNames);
  if (given.length > 0 && options.withoutAgent) {
    throw new Error('--without-agent: only for a cluster of this machine, not with --dsn');
  }
  if (options.withoutAgent && !paths.includes('direct')) {
    throw new InvalidOption('paths', options.paths, 'direct is needed with --without-agent, to compare with');
  }
  return {
    workloads: workloads.filter(({ name }) => names.includes(name)),
    paths,
    clients: readRamp(options.clients),
    modes: readModes(options.modes),
    runs: readCount('runs', options.runs),
    seconds: readCount('seconds', options.seconds),
    warmUpSeconds: readNumber('warm-up', options.warmUp, { whole: true }),
    scale: readScale(options.scale),
    rate: options.rate === undefined ? null : readNumber('rate', options.rate),
    sampling: readShare(options.sampling),
    switches: {
      indexes: options.indexes,
      foreignKeys: options.foreignKeys,
      explicitTransactions: options.explicitTransactions,
    },
    withoutAgent: options.withoutAgent,
    sharedBuffers: readSize(options.sharedBuffers),
    given,
  };
}

/** Ascending, each once. */
function readRamp(value: string): number[] {
  const ramp = value.split(',').map(Number);
  if (ramp.some((clients) => !Number.isInteger(clients) || clients < 1 || clients > mostClients)) {
    throw new InvalidOption('clients', value, `numbers from 1 to ${mostClients}, with commas between them`);
  }
  return [...new Set(ramp)].sort((left, right) => left - right);
}

function readCount(name: string, value: string): number {
  const count = readNumber(name, value, { whole: true });
  if (count === 0) throw new InvalidOption(name, value, 'at least 1');
  return count;
}

function readShare(value: string): number {
  const share = Number(value);
  if (!(share > 0 && share <= 1)) throw new InvalidOption('sampling', value, 'more than 0, up to 1');
  return share;
}

function readSize(value: string | undefined): string | null {
  if (value === undefined) return null;
  if (!/^\d+(kB|MB|GB)$/.test(value))
    throw new InvalidOption('shared-buffers', value, 'such as 512MB or 2GB');
  return value;
}
