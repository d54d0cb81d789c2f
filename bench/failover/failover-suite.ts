/**
 * `npm run bench -- failover`: what clients see when a primary is switched over, killed, stopped or cut off, run by run, of Leasehold
 * and of the peers that are asked for. A run that fails is told as such, and its system is brought up anew.
 */
import { checkedOutCommit, machineFacts, programVersion } from '../measure/machine-facts.ts';
import { readHosts, readModes, readNumber, readSome, suiteOptions } from '../read-options.ts';
import { saveResult } from '../report/result-files.ts';
import type { SuiteCommand } from '../suite-command.ts';
import { systemsWith } from '../systems/all-systems.ts';
import { pathNames, scenarioNames } from '../systems/system-under-test.ts';
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
      .option('--hosts <driver>', 'loopback, or netns (root): hosts with networks of their own', 'loopback'),
  run: async (options, signal) => {
    const wanted = readWanted(options as Options);
    const comparison = await compare(wanted, signal, say);
    const result = failoverResult(comparison, {
      madeAt: new Date().toISOString(),
      command: `npm run bench -- ${process.argv.slice(2).join(' ')}`,
      commit: checkedOutCommit(),
      machine: machineFacts({
        haproxy: programVersion('haproxy', '-v'),
        pgbouncer: programVersion('pgbouncer'),
        ...comparison.versions,
      }),
    });
    say(`\nwritten to ${saveResult(result)}`);
    return comparison.runs.every(({ outcome }) => outcome === 'measured') ? 0 : 1;
  },
};

function readWanted(options: Options): WantedComparison {
  return {
    makers: systemsWith(options.peers === '' ? [] : options.peers.split(',')),
    scenarios: readSome('scenarios', options.scenarios, scenarioNames),
    paths: readSome('paths', options.paths, pathNames),
    modes: readModes(options.modes),
    rounds: readNumber('runs', options.runs, { whole: true }),
    rate: readNumber('rate', options.rate),
    clients: readNumber('clients', options.clients, { whole: true }),
    awayMs: readNumber('away', options.away) * 1000,
    hosts: readHosts(options.hosts),
  };
}
