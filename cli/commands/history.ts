/** `leasehold history`: operations with their steps and durations, newest first. */
import type { Command } from 'commander';
import { type ClusterOptions, openCluster, withClusterOptions } from '../cluster/cluster-access.ts';
import { answered } from '../cluster/watch-lease.ts';
import { renderHistory, summarise } from '../operation-history.ts';
import { wholeNumber } from '../option-values.ts';
import { print } from '../terminal.ts';

export function addHistoryCommand(program: Command): void {
  withClusterOptions(program.command('history'))
    .description('show switchovers and failovers with their steps, newest first')
    .option('-n, --limit <count>', 'so many of the newest', wholeNumber(1, 1000), 20)
    .option('--json', 'as JSON')
    .action(async (options: ClusterOptions & { limit: number; json?: boolean }) => {
      const { store } = openCluster(options);
      const operations = answered(await store.listOperations(options.limit)).map(summarise);
      print(options.json === true ? JSON.stringify(operations) : renderHistory(operations));
    });
}
