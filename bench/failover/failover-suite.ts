/**
 * `npm run bench -- failover`: what clients see when a primary is switched over, killed, stopped or cut off, run by run, of Leasehold
 * and of the peers that are asked for. A run that fails is told as such, and its system is brought up anew.
 */
import { latencyProfiles } from '../../local/aws/latency-profile.ts';
import { checkedOutCommit, machineFacts, programVersion } from '../measure/machine-facts.ts';
import {
  InvalidOption,
  readHosts,
  readModes,
  readNumber,
  readOne,
  readSome,
  suiteOptions,
} from '../read-options.ts';
import { renderTables } from '../report/render-markdown.ts';
import { saveResult } from '../report/result-files.ts';
import type { SuiteCommand } from '../suite-command.ts';
import { systemsWith } from '../systems/all-systems.ts';
import { deployed, readDsns } from '../systems/deployed.ts';
import { pathNames, type SystemMaker, scenarioNames } from '../systems/system-under-test.ts';
import { withoutPasswords } from '../throughput/given-target.ts';
import { compare, type WantedComparison } from './compare.ts';
import { failoverResult } from './failover-result.ts';

interface Options {
  readonly scenarios: string;
  readonly paths: string;
  readonly modes: string;
  readonly runs: string;
  readonly rate: string;
  readonly clients: string;
  readonly away: string;
  readonly peers: string;
  readonly hosts: string;
  readonly latency: string;
  readonly ttl: string;
  readonly dsn: readonly string[];
  readonly ask: string;
  readonly cluster: string;
  readonly standbys: string;
}

const say = (line: string) => process.stdout.write(`${line}\n`);

export const failoverSuite: SuiteCommand = {
  command: () =>
    suiteOptions(
      'failover',
      'How long clients are down, what they see and what is lost, when a primary goes.',
    )
      .option(
        '--scenarios <names>',
        `all, or of ${scenarioNames.join(', ')}`,
        'switchover,host-killed,postgres-killed',
      )
      .option('--paths <names>', `all, or of ${pathNames.join(', ')}`, 'endpoint')
      .option('--modes <modes>', 'synchronous replication: all, or of off, on, strict', 'off')
      .option('--runs <number>', 'of each scenario, path and system', '5')
      .option('--rate <number>', 'writes a second, of all clients together', '200')
      .option('--clients <number>', 'connections that write', '4')
      .option('--away <seconds>', 'how long the store is away in store-away', '20')
      .option('--peers <names>', 'other systems, run by run beside this one', '')
      .option('--hosts <driver>', 'loopback, or netns (root): hosts with networks of their own', 'loopback')
      .option('--latency <profile>', `how late AWS answers: ${latencyProfiles.join(' or ')}`, 'none')
      .option('--ttl <seconds>', "how long this system's lease lives, 3 to 60 (default: 2, with aws 5)", '')
      .option(
        '--dsn <path=dsn>',
        'of a deployed cluster, once for each path (multi-host: each node)',
        collect,
        [],
      )
      .option(
        '--ask <arn>',
        'with --dsn: the state machine to ask for switchovers; else all is done by hand',
        '',
      )
      .option('--cluster <name>', 'with --ask: what it is called there', 'main')
      .option('--standbys <number>', 'with --dsn: so many must stream', '2'),
  run: async (options, signal) => {
    const wanted = readWanted(options as Options);
    const comparison = await compare(wanted, signal, say);
    // The result of an earlier comparison is worth more than none.
    if (comparison.runs.length === 0) throw new Error('nothing was measured');
    const result = failoverResult(comparison, {
      madeAt: new Date().toISOString(),
      command: `npm run bench -- ${withoutPasswords(process.argv.slice(2).join(' '))}`,
      commit: checkedOutCommit(),
      machine: machineFacts({
        haproxy: programVersion('haproxy', '-v'),
        pgbouncer: programVersion('pgbouncer'),
        ...comparison.versions,
      }),
    });
    say(`\n${renderTables(result)}`);
    say(`written to ${saveResult(result)}`);
    const allMeasured = comparison.runs.every(({ outcome }) => outcome === 'measured');
    return allMeasured && !comparison.failed ? 0 : 1;
  },
};

const collect = (value: string, values: readonly string[]) => [...values, value];

function readWanted(options: Options): WantedComparison {
  return {
    makers: readMakers(options),
    scenarios: readSome('scenarios', options.scenarios, scenarioNames),
    paths: readSome('paths', options.paths, pathNames),
    modes: readModes(options.modes),
    rounds: readNumber('runs', options.runs, { whole: true, least: 1 }),
    rate: readNumber('rate', options.rate),
    clients: readNumber('clients', options.clients, { whole: true, least: 1 }),
    awayMs: readNumber('away', options.away) * 1000,
    hosts: readHosts(options.hosts),
    latency: readOne('latency', options.latency, latencyProfiles),
    ttlMs: readTtl(options),
  };
}

/** In ms; null when nothing was said. The heartbeat stays as it is, so less than three seconds would not fit it. */
function readTtl({ ttl, dsn }: Pick<Options, 'ttl' | 'dsn'>): number | null {
  if (ttl === '') return null;
  if (dsn.length > 0) throw new InvalidOption('ttl', ttl, 'not with --dsn: a deployed cluster has its own');
  const seconds = Number(ttl);
  if (!(seconds >= 3 && seconds <= 60)) throw new InvalidOption('ttl', ttl, 'a number from 3 to 60');
  return Math.round(seconds * 1000);
}

function readMakers({ peers, dsn, ask, cluster, standbys }: Options): readonly SystemMaker[] {
  if (dsn.length === 0) {
    if (ask !== '') throw new InvalidOption('ask', ask, 'only with --dsn');
    return systemsWith(peers === '' ? [] : peers.split(','));
  }
  if (peers !== '') throw new InvalidOption('peers', peers, 'not with --dsn: peers run on this machine');
  const deployment = {
    paths: readDsns(dsn),
    standbys: readNumber('standbys', standbys, { whole: true }),
    ask: ask === '' ? null : { stateMachineArn: ask, cluster },
  };
  return [deployed(deployment)];
}
