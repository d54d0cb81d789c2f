/**
 * Draws the episodes of a chaos run from a seed: which fault, on whom, for how long, and whether an operator asks for an
 * operation around it. Pure: the same seed and the same faults give the same draws, whatever the cluster did meanwhile.
 */
import type { Fault } from '../../local/faults/fault.ts';

export interface DrawnFault {
  readonly fault: Fault;
  /** From 0 to 1: which of the hosts of its role. */
  readonly pick: number;
  /** From the start of the episode. */
  readonly atMs: number;
}

export interface DrawnEpisode {
  /** One fault, or with `double` two. */
  readonly faults: readonly DrawnFault[];
  readonly operation: { readonly kind: 'switchover' | 'failover'; readonly atMs: number } | null;
  /** From the last fault to its undo. */
  readonly holdMs: number;
  /** Ordinary work before the episode. */
  readonly restMs: number;
}

/** A generator of numbers in [0, 1) (mulberry32): small, and the same on every machine. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const operationShare = 0.35;
const failoverShare = 0.25;
/** A blip shorter than the lease lives, or an outage that outlives it. */
const shortHoldShare = 0.35;
const shortHoldMs = [200, 1_500] as const;
const longHoldMs = [2_500, 8_000] as const;
const restMs = [300, 1_500] as const;
/** The fault comes so long after the episode's start: an operation may be asked for before, at, or after it. */
const faultAtMs = 700;
const operationSpreadMs = [0, 1_600] as const;
const secondFaultSpreadMs = [0, 2_500] as const;

/** Endless; take as many as there is time for. */
export function* drawEpisodes(
  seed: number,
  faults: readonly Fault[],
  options: { readonly double: boolean },
): Generator<DrawnEpisode, never> {
  if (faults.length === 0) throw new Error('there is no fault to draw from');
  const random = randomFrom(seed);
  const between = ([low, high]: readonly [number, number]) => Math.round(low + random() * (high - low));
  const drawFault = (atMs: number): DrawnFault => {
    const fault = faults[Math.floor(random() * faults.length)];
    if (fault === undefined) throw new Error('a draw beyond the list');
    return { fault, pick: random(), atMs };
  };
  for (;;) {
    const first = drawFault(faultAtMs);
    const second = options.double ? [drawFault(faultAtMs + between(secondFaultSpreadMs))] : [];
    const asks = random() < operationShare;
    const kind = random() < failoverShare ? 'failover' : 'switchover';
    const atMs = between(operationSpreadMs);
    const holdMs = between(random() < shortHoldShare ? shortHoldMs : longHoldMs);
    yield {
      faults: [first, ...second],
      operation: asks ? { kind, atMs } : null,
      holdMs,
      restMs: between(restMs),
    };
  }
}
