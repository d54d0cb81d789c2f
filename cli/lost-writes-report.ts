/** What the events of a cluster tell of discarded log: one entry an event, and its text for people. */
import type { ClusterEvent, EventDetails } from '../core/model/cluster-event.ts';

export interface LostWritesEntry extends EventDetails {
  readonly time: string;
  readonly node: string;
  /** The epoch that the node returned to. */
  readonly epoch: number | null;
  readonly message: string;
}

export function lostWritesOf(events: readonly ClusterEvent[]): readonly LostWritesEntry[] {
  return events
    .filter(({ kind }) => kind === 'wal_discarded')
    .map(({ time, who, epoch, message, details }) => ({ ...details, time, node: who, epoch, message }));
}

export function renderLostWrites(lost: readonly LostWritesEntry[]): string {
  if (lost.length === 0) return 'Nothing was lost: no node discarded any log in the last 90 days.';
  return lost.map(render).join('\n\n');
}

function render(entry: LostWritesEntry): string {
  const head = `${entry.time}  ${entry.node}, ${entry['cause'] ?? 'discarded'}, back to epoch ${entry.epoch ?? 'unknown'}`;
  // Of an older agent: all it said is in the message.
  if (entry['look'] === undefined) return `${head}\n  ${entry.message}`;
  const { bytes, transactions } = entry;
  const lines = [
    `log            ${entry['from_lsn'] ?? 'unknown'} to ${entry['to_lsn'] ?? 'unknown'} on timeline ${entry['timeline']}, epoch ${entry['lost_epoch'] ?? 'unknown'}${bytes == null ? '' : `, ${bytes} bytes`}`,
    `transactions   ${transactions == null ? `not known: ${entry['not_summarised']}` : committed(entry)}`,
    ...(transactions == null || entry['not_summarised'] == null
      ? []
      : [`               ${entry['not_summarised']}`]),
    ...(entry['relations'] ? [`relations      ${entry['relations']}`] : []),
    `kept           ${entry['files']} files in ${entry['folder']}`,
    ...(entry['missing'] ? [`missing        ${entry['missing']}`] : []),
    `look           ${entry['look']}`,
  ];
  return [head, ...lines.map((line) => `  ${line}`)].join('\n');
}

function committed(entry: LostWritesEntry): string {
  const count = entry['transactions'];
  if (count === 0) return 'none committed';
  return `${count} committed, ${entry['first_commit']} to ${entry['last_commit']}`;
}
