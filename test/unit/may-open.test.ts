/** Whether a host may open PostgreSQL for writing at this instant (invariant H1): every condition alone forbids it. */
import { describe, expect, it } from 'vitest';
import { mayOpen } from '../../agent/database/primary-work.ts';
import type { HoldStage } from '../../core/lease/lease-clock.ts';
import { aLease, aRecord } from '../support/host-states.ts';

interface Scene {
  readonly holder?: boolean;
  readonly stage?: HoldStage;
  readonly fencedEpoch?: number;
  /** Written by another process of the host: known only after a reload. */
  readonly fencedMeanwhile?: number;
  readonly highestEpoch?: number;
}

function open(scene: Scene): boolean {
  let fencedEpoch = scene.fencedEpoch ?? 2;
  return mayOpen({
    keeper: {
      isHolder: () => scene.holder ?? true,
      view: () => ({
        headRead: true,
        record: aRecord(),
        watch: { lease: aLease({ epoch: 3 }), sinceMs: 0 },
        holdStage: scene.stage ?? 'valid',
        failsafe: { active: false, sinceMs: null },
        answeredMs: null,
        heldBack: null,
      }),
    },
    disk: {
      reload: () => {
        fencedEpoch = scene.fencedMeanwhile ?? fencedEpoch;
      },
      facts: () => ({
        highestEpoch: scene.highestEpoch ?? 3,
        fencedEpoch,
        dataEpoch: 3,
        receiverEnded: null,
        bootstrapNonce: null,
      }),
    },
  });
}

describe('PostgreSQL may be opened for writing', () => {
  it('with a valid lease above the bar', () => {
    expect(open({})).toBe(true);
  });

  it.each<[string, Scene]>([
    ['by who does not hold the lease', { holder: false }],
    ['when the lease is not proven at this instant', { stage: 'unready' }],
    ['when nothing is held', { stage: 'none' }],
    ['at the barred epoch', { fencedEpoch: 3 }],
    ['below an epoch that this host has seen', { highestEpoch: 4 }],
    ['when the fence command barred it meanwhile', { fencedMeanwhile: 3 }],
  ])('never %s', (_, scene) => {
    expect(open(scene)).toBe(false);
  });
});
