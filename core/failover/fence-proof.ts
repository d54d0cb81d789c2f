/**
 * What counts as proof that an old primary's PostgreSQL is down and cannot come back by itself: an ordered table over the
 * evidence, first match wins. Upholds F1: proof is made and barred, or it is an instance that EC2 was seen to have stopped;
 * what is merely found, asked for, or a hindrance to new connections proves nothing.
 */

/** What became of the command that stops PostgreSQL on its host and bars it. */
export type FenceCommandEvidence =
  | { readonly kind: 'not-sent' | 'pending' }
  | { readonly kind: 'failed' }
  /** The host wrote that no primary may run at `epoch` or below, and verified that none does. */
  | { readonly kind: 'fenced'; readonly epoch: number };

export interface FenceEvidence {
  /** The epoch of the lease that the old primary held. */
  readonly epoch: number;
  /** The lease is not held any more, or a later epoch is. */
  readonly leaseMoved: boolean;
  readonly command: FenceCommandEvidence;
  /** EC2's name of the instance's state, as observed after the fence began; null: not asked, or no answer. */
  readonly instance: string | null;
  /** Its security groups were swapped. */
  readonly isolated: boolean;
  /** What its agent has reported since the fence began: nothing, or by the same or another incarnation. */
  readonly reported: 'nothing' | 'again' | 'as-another-incarnation';
  /** Its last report, whenever it was written, says that PostgreSQL is stopped. */
  readonly foundStopped: boolean;
}

/**
 * `down`: nothing there writes at that epoch, and nothing will. `let-go`: the lease is free, so its deadline is past or it was given up;
 * the host itself is not proven to be down. `aware`: its agent lives and has spoken to DynamoDB since, which told it that
 * the lease is gone: no proof for a lease that is held, enough to leave the host alone once it is not.
 */
export type FenceProof = 'down' | 'let-go' | 'aware' | 'none';

export interface FenceVerdict {
  readonly rule: string;
  readonly proof: FenceProof;
  readonly reason: string;
}

interface Row extends FenceVerdict {
  readonly when: (evidence: FenceEvidence) => boolean;
}

const rows: readonly Row[] = [
  {
    rule: 'host-barred',
    when: ({ command, epoch }) => command.kind === 'fenced' && command.epoch >= epoch,
    proof: 'down',
    reason: 'the host has barred itself and verified that nothing runs at that epoch',
  },
  {
    rule: 'instance-stopped',
    when: ({ instance }) => instance === 'stopped',
    proof: 'down',
    reason: 'EC2 was seen to have stopped the instance',
  },
  {
    rule: 'instance-terminated',
    when: ({ instance }) => instance === 'terminated',
    proof: 'down',
    reason: 'EC2 was seen to have terminated the instance',
  },
  {
    rule: 'lease-moved',
    when: ({ leaseMoved }) => leaseMoved,
    proof: 'let-go',
    reason: 'the lease is not held at that epoch any more',
  },
  {
    rule: 'new-incarnation',
    when: ({ reported }) => reported === 'as-another-incarnation',
    proof: 'aware',
    reason: 'a new agent reports from there, which opens nothing before it has read the lease',
  },
  {
    rule: 'reports-again',
    when: ({ reported }) => reported === 'again',
    proof: 'aware',
    reason: 'its agent has reported since',
  },
  {
    rule: 'barred-too-low',
    when: ({ command }) => command.kind === 'fenced',
    proof: 'none',
    reason: 'the host is barred at an older epoch only',
  },
  {
    rule: 'command-failed',
    when: ({ command }) => command.kind === 'failed',
    proof: 'none',
    reason: 'the fence failed on the host: something may still run there',
  },
  {
    rule: 'instance-unknown',
    when: ({ instance }) => instance === 'absent',
    proof: 'none',
    reason: 'EC2 does not know the instance: a wrong id or region, or an answer from before it was started',
  },
  {
    rule: 'only-isolated',
    when: ({ isolated }) => isolated,
    proof: 'none',
    reason: 'a change of security groups cuts new connections: those that exist live on, and PostgreSQL too',
  },
  {
    rule: 'instance-on-its-way',
    when: ({ instance }) => instance === 'stopping' || instance === 'shutting-down',
    proof: 'none',
    reason: 'the instance is being stopped, and until it is, it may write',
  },
  {
    rule: 'found-stopped',
    when: ({ foundStopped }) => foundStopped,
    proof: 'none',
    reason: 'PostgreSQL was found stopped there and is not barred: it may be started again',
  },
  {
    rule: 'nothing-heard',
    when: () => true,
    proof: 'none',
    reason: 'nothing was heard from the host',
  },
];

/** Nothing is known yet. */
export const noFenceEvidence: Omit<FenceEvidence, 'epoch'> = {
  leaseMoved: false,
  command: { kind: 'not-sent' },
  instance: null,
  isolated: false,
  reported: 'nothing',
  foundStopped: false,
};

/** Total: the last row matches always. */
export function judgeFence(evidence: FenceEvidence): FenceVerdict {
  const row = rows.find((candidate) => candidate.when(evidence));
  if (row === undefined) throw new Error('InvariantViolation: no row for this evidence of a fence');
  return { rule: row.rule, proof: row.proof, reason: row.reason };
}

/** Every rule with what it proves, in order. */
export const fenceRules: readonly Pick<FenceVerdict, 'rule' | 'proof'>[] = rows.map(({ rule, proof }) => ({
  rule,
  proof,
}));
