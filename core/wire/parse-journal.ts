/**
 * The journal of a host, as its agent left it on disk. What it says makes the next agent rename and remove folders: a nonce is
 * hexadecimal digits, so that no path but one beside the data directory can be meant, and a step that does not belong to its
 * verb is refused.
 */
import {
  type JournalEntry,
  type JournalStep,
  type JournalStepName,
  type JournalVerb,
  stepsOf,
} from '../host/journal-rules.ts';
import {
  InvalidInput,
  pathOf,
  type Reader,
  readBoolean,
  readFields,
  readId,
  readInteger,
  readKnownFields,
  readList,
  readNonEmpty,
  readNullable,
  readOneOf,
  readString,
} from './fields.ts';

export interface ClosedJournalEntry {
  readonly entry: JournalEntry;
  readonly closedAt: string;
  readonly outcome: string;
}

export interface JournalContent {
  readonly open: readonly JournalEntry[];
  /** The last ones, oldest first, for people. */
  readonly closed: readonly ClosedJournalEntry[];
}

const verbs = Object.keys(stepsOf) as readonly JournalVerb[];
const noncePattern = /^[0-9a-f]{8}$/;

/** Throws InvalidInput naming the field, such as `open[0].verb`. */
export function parseJournal(input: unknown): JournalContent {
  const fields = readKnownFields(input, '', ['open', 'closed']);
  return {
    open: readList(fields['open'], 'open', readEntry),
    closed: readList(fields['closed'], 'closed', readClosed),
  };
}

const readClosed: Reader<ClosedJournalEntry> = (value, field) => {
  const fields = readFields(value, field);
  return {
    entry: readEntry(fields['entry'], pathOf(field, 'entry')),
    closedAt: readNonEmpty(fields['closedAt'], pathOf(field, 'closedAt')),
    outcome: readString(fields['outcome'], pathOf(field, 'outcome')),
  };
};

const readEntry: Reader<JournalEntry> = (value, field) => {
  const fields = readFields(value, field);
  const at = (key: string) => pathOf(field, key);
  const verb = readOneOf(fields['verb'], at('verb'), verbs);
  const steps = readList(fields['steps'], at('steps'), readStep(stepsOf[verb]));
  if (steps.length === 0) throw new InvalidInput(at('steps'), [], 'at least one step');
  return {
    id: readNonEmpty(fields['id'], at('id')),
    verb,
    operation: readNullable(fields['operation'], at('operation'), readNonEmpty),
    epoch: readInteger(fields['epoch'], at('epoch')),
    node: readNullable(fields['node'], at('node'), readId),
    nonce: readNullable(fields['nonce'], at('nonce'), readNonce),
    replaces: readBoolean(fields['replaces'], at('replaces')),
    steps,
  };
};

const readStep =
  (known: readonly JournalStepName[]): Reader<JournalStep> =>
  (value, field) => {
    const fields = readFields(value, field);
    return {
      step: readOneOf(fields['step'], pathOf(field, 'step'), known),
      at: readNonEmpty(fields['at'], pathOf(field, 'at')),
      undo: readString(fields['undo'], pathOf(field, 'undo')),
    };
  };

function readNonce(value: unknown, field: string): string {
  if (typeof value !== 'string' || !noncePattern.test(value)) {
    throw new InvalidInput(field, value, 'eight hexadecimal digits');
  }
  return value;
}
