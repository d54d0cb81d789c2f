/** `leasehold events`: what happened, newest last. */
import type { Command } from 'commander';
import { type ClusterOptions, openCluster, withClusterOptions } from '../cluster/cluster-access.ts';
import { answered } from '../cluster/watch-lease.ts';
import { wholeNumber } from '../option-values.ts';
import { print, table } from '../terminal.ts';

export function addEventsCommand(program: Command): void {
  withClusterOptions(program.command('events'))
    .description('show what happened, newest last; events are kept for 90 days')
    .option('-n, --limit <count>', 'so many of the newest', wholeNumber(1, 1000), 50)
    .option('--json', 'as JSON')
    .action(async (options: ClusterOptions & { limit: number; json?: boolean }) => {
      const { store } = openCluster(options);
      const events = answered(await store.listEvents(options.limit)).toReversed();
      if (options.json === true) return print(JSON.stringify(events));
      print(
        table([
          ['time', 'who', 'event', 'epoch', 'message'],
          ...events.map(({ time, who, kind, epoch, message }) => [time, who, kind, epoch, message]),
        ]),
      );
    });
}
