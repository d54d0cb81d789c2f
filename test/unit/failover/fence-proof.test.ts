/** What counts as proof that an old primary is down (F1): each row of the table, and which of two comes first. */
import { describe, expect, test } from 'vitest';
import {
  type FenceEvidence,
  fenceRules,
  judgeFence,
  noFenceEvidence,
} from '../../../core/failover/fence-proof.ts';

const epoch = 7;
const judge = (evidence: Partial<FenceEvidence>) => {
  const { rule, proof } = judgeFence({ epoch, ...noFenceEvidence, ...evidence });
  return `${rule}: ${proof}`;
};

const cases: readonly (readonly [string, Partial<FenceEvidence>, string])[] = [
  ['the host barred itself at that epoch', { command: { kind: 'fenced', epoch } }, 'host-barred: down'],
  ['the host barred itself at a later epoch', { command: { kind: 'fenced', epoch: 8 } }, 'host-barred: down'],
  ['the host is barred at an older epoch', { command: { kind: 'fenced', epoch: 6 } }, 'barred-too-low: none'],
  ['EC2 saw it stopped', { instance: 'stopped' }, 'instance-stopped: down'],
  ['EC2 saw it terminated', { instance: 'terminated' }, 'instance-terminated: down'],
  ['the lease is free', { leaseMoved: true }, 'lease-moved: let-go'],
  ['a new agent reports', { reported: 'as-another-incarnation' }, 'new-incarnation: aware'],
  ['the agent reports again', { reported: 'again' }, 'reports-again: aware'],
  ['the fence failed there', { command: { kind: 'failed' } }, 'command-failed: none'],
  ['EC2 does not know the instance', { instance: 'absent' }, 'instance-unknown: none'],
  ['its security groups were swapped', { isolated: true }, 'only-isolated: none'],
  ['it is stopping', { instance: 'stopping' }, 'instance-on-its-way: none'],
  ['it is shutting down', { instance: 'shutting-down' }, 'instance-on-its-way: none'],
  ['PostgreSQL was found stopped', { foundStopped: true }, 'found-stopped: none'],
  ['it runs', { instance: 'running' }, 'nothing-heard: none'],
  ['it is being started', { instance: 'pending' }, 'nothing-heard: none'],
  ['the command has not answered', { command: { kind: 'pending' } }, 'nothing-heard: none'],
  ['nothing', {}, 'nothing-heard: none'],
];

describe('what proves that an old primary is down', () => {
  test.each(cases)('%s', (_what, evidence, verdict) => {
    expect(judge(evidence)).toBe(verdict);
  });

  test('every rule is reached by one of these', () => {
    const reached = new Set(cases.map(([, , verdict]) => verdict));
    expect(
      fenceRules.map(({ rule, proof }) => `${rule}: ${proof}`).filter((one) => !reached.has(one)),
    ).toEqual([]);
  });

  test('a proof stands whatever else is known', () => {
    const everythingElse: Partial<FenceEvidence> = {
      leaseMoved: true,
      isolated: true,
      reported: 'again',
      foundStopped: true,
    };
    expect(judge({ ...everythingElse, command: { kind: 'fenced', epoch } })).toBe('host-barred: down');
    expect(judge({ ...everythingElse, command: { kind: 'failed' }, instance: 'stopped' })).toBe(
      'instance-stopped: down',
    );
  });

  test('no heap of hints makes a proof of a host that may still write', () => {
    const hints: Partial<FenceEvidence> = {
      command: { kind: 'failed' },
      instance: 'stopping',
      isolated: true,
      foundStopped: true,
    };
    expect(judge(hints)).toMatch(/: none$/);
    expect(judge({ ...hints, reported: 'again' })).toMatch(/: aware$/);
  });
});
