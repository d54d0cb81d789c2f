/**
 * At the start of an agent, before it decides or does anything else: what the former agent left open in the journal is brought to
 * its end, as `core/host/journal-rules.ts` says, and the outcome is an event and a log line. Upholds H6. Only a lease that
 * must be fenced goes before it: that is the guard's, and the keeper's.
 */
import { rm } from 'node:fs/promises';
import { putCopyInPlace, putKeptBack } from '../../adapters/postgres/base-backup.ts';
import { pathExists } from '../../adapters/postgres/files.ts';
import { siblings } from '../../adapters/postgres/host.ts';
import { killLeftoverPrograms } from '../../adapters/postgres/leftover-programs.ts';
import { liftQuarantine } from '../../adapters/postgres/quarantine.ts';
import {
  decideJournal,
  type JournalDecision,
  type JournalEffect,
  type JournalEntry,
  type JournalView,
} from '../../core/host/journal-rules.ts';
import type { HostContext } from './host-context.ts';
import { upstreamOf } from './standby-work.ts';

/** Nothing is done here without lease and record. A day: then the host's table goes by what it sees; the entries stay open. */
const headLimitMs = 24 * 3_600_000;

type Effect = (context: HostContext, entry: JournalEntry) => Promise<void>;

/** Throws only on bugs. Resolves at once where nothing is open: the usual case. */
export async function resumeJournal(context: HostContext): Promise<void> {
  const { journal, keeper, log } = context;
  if (journal.open().length === 0) return;
  // Without the lease this agent decides nothing anyway; the guard keeps the deadline of the former one meanwhile.
  if (!(await keeper.until(() => keeper.view().headRead, headLimitMs))) return;
  for (const entry of journal.open()) {
    try {
      await resume(context, entry);
    } catch (error) {
      // Left open for the next start; the host's table goes by what it sees.
      log('error', 'the journal could not be carried on', {
        verb: entry.verb,
        error: error instanceof Error ? error.stack : String(error),
      });
    }
  }
}

async function resume(context: HostContext, entry: JournalEntry): Promise<void> {
  const decision = decideJournal(await observe(context, entry));
  for (const effect of decision.effects) await journalEffects[effect](context, entry);
  await context.journal.close(entry.id, `${decision.kind}: ${decision.reason}`);
  tell(context, entry, decision);
}

function tell(context: HostContext, entry: JournalEntry, { rule, kind, reason }: JournalDecision): void {
  const step = entry.steps.at(-1)?.step ?? '';
  const message = `${entry.verb}, interrupted after ${step}: ${reason}`;
  if (kind === 'nothing-to-do') {
    context.log('info', 'journal entry closed', { rule, detail: message });
    return;
  }
  const event = kind === 'resume' ? 'action_resumed' : 'action_rolled_back';
  // A bootstrap comes before the first epoch.
  const epoch = entry.epoch === 0 ? null : entry.epoch;
  context.emit(event, message, { rule, epoch, operation: entry.operation });
}

async function observe(context: HostContext, entry: JournalEntry): Promise<JournalView> {
  const { keeper, config, server } = context;
  const { record, watch } = keeper.view();
  const { host } = server.node;
  const there = async (path: string | null) => path !== null && (await pathExists(path));
  return {
    node: config.node,
    entry,
    currentOperation: record?.operation?.id ?? null,
    target: record?.failoverTargetPrimary ?? null,
    lease: watch.lease,
    dataDirectory: await server.dataDirectory(),
    copyThere: await there(copyOf(context, entry)),
    keptThere: await there(entry.nonce === null ? null : siblings.kept(host, entry.nonce)),
  };
}

function copyOf({ server }: HostContext, { verb, nonce }: JournalEntry): string | null {
  if (nonce === null) return null;
  const { host } = server.node;
  return verb === 'bootstrap' ? siblings.initialising(host, nonce) : siblings.rebuilding(host, nonce);
}

function nonceOf({ verb, nonce }: JournalEntry): string {
  if (nonce === null) throw new Error(`InvariantViolation: a ${verb} without the name of its folder`);
  return nonce;
}

/** One function an effect; each may be done twice. A test compares this with the table's effects. */
export const journalEffects: Readonly<Record<JournalEffect, Effect>> = {
  'end-programs': async ({ server }) => {
    await killLeftoverPrograms(server.node.host);
  },
  'end-servers': async ({ server }) => {
    const { remaining } = await server.node.killAll('it was started for work that was interrupted');
    if (remaining.length > 0) throw new Error(`${remaining.length} processes do not die`);
  },
  'remove-copy': async (context, entry) => {
    const copy = copyOf(context, entry);
    // A large copy takes its time, and nothing depends on it.
    if (copy !== null)
      void rm(copy, { recursive: true, force: true }).catch((error: unknown) =>
        context.log('warn', 'a copy could not be removed', { copy, error: String(error) }),
      );
  },
  'put-back': ({ server }, entry) => putKeptBack(server.node.host, nonceOf(entry)),
  'put-in-place': async ({ server }, entry) => {
    await putCopyInPlace(server.node.host, nonceOf(entry));
  },
  'adopt-data': async ({ server, disk }, entry) => {
    disk.bootstrapped(null);
    disk.dataBelongsTo(entry.epoch);
    await liftQuarantine(server.node.host);
  },
  'follow-again': async (context, entry) => {
    await context.readNodes();
    // Not known where it is: the table repoints this node to the primary.
    context.server.nowFollows(upstreamOf(context, entry.node ?? ''));
  },
  'expect-promotion': async ({ server }) => server.node.promotionIsExpected(),
  // Of a server that is down, the next start does it.
  'reset-setting': async ({ server }) => server.node.expectPromotion(false),
};
