/** `leasehold lost-writes`: what nodes gave up when they were rewound or rebuilt, and where it is kept. */
import type { Command } from 'commander';
import { type ClusterOptions, openCluster, withClusterOptions } from '../cluster/cluster-access.ts';
import { answered } from '../cluster/watch-lease.ts';
import { lostWritesOf, renderLostWrites } from '../lost-writes-report.ts';
import { print } from '../terminal.ts';

/** All that the table keeps: events of 90 days. */
const mostEvents = 100_000;

export function addLostWritesCommand(program: Command): void {
  withClusterOptions(program.command('lost-writes'))
    .description(
      'show what was discarded when nodes were rewound or rebuilt, newest last, and where it is kept',
    )
    .option('--json', 'as JSON')
    .action(async (options: ClusterOptions & { json?: boolean }) => {
      const { store } = openCluster(options);
      const lost = lostWritesOf(answered(await store.listEvents(mostEvents)).toReversed());
      print(options.json === true ? JSON.stringify(lost) : renderLostWrites(lost));
    });
}
