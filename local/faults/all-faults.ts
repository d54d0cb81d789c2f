/** Every fault there is, and how one is asked for by name. Those that are more than one fault at once stand apart. */
import { diskFaults } from './disk.ts';
import type { Fault } from './fault.ts';
import { networkFaults } from './network.ts';
import { agentAndGuardStopped, processFaults } from './processes.ts';
import {
  dynamoDbAwayAndStandbyKilled,
  hostKilledWithoutProof,
  killedAndFailoverAsked,
  killedAndFailoverAskedWithoutProof,
  serviceFaults,
} from './services.ts';

/** One thing is broken at a time: what the promises of docs/faults.md cover. */
export const singleFaults: readonly Fault[] = [...processFaults, ...serviceFaults, ...networkFaults];

/** Two things at once, beyond what is promised in every mode. */
export const doubleFaults: readonly Fault[] = [
  hostKilledWithoutProof,
  dynamoDbAwayAndStandbyKilled,
  agentAndGuardStopped,
];

/** A fault and what an operator does about it at once. Not drawn, for whether an operation is asked for is drawn too. */
const answeredFaults: readonly Fault[] = [killedAndFailoverAsked, killedAndFailoverAskedWithoutProof];

export const allFaults: readonly Fault[] = [
  ...singleFaults,
  ...doubleFaults,
  ...diskFaults,
  ...answeredFaults,
];

/** Throws, naming what there is, for a name that no fault has. */
export function faultNamed(id: string): Fault {
  const fault = allFaults.find((known) => known.id === id);
  if (fault === undefined) {
    throw new Error(`there is no fault ${id}; there is ${allFaults.map((known) => known.id).join(', ')}`);
  }
  return fault;
}
