/** The table behind a rotation, row by row: what each step does in each state of record, hosts and Secrets Manager. */
import { describe, expect, it } from 'vitest';
import { neverRotated, type SecretUse, type SecretVersions } from '../../../core/model/cluster-secrets.ts';
import { decideRotation, type RotationFacts, rotationRules } from '../../../core/secrets/decide-rotation.ts';
import { aLease, aRecord } from '../../support/host-states.ts';
import { sampleNodeReport, sampleProxyReport } from '../../support/samples.ts';

const offered: SecretVersions = { current: 'a', next: { version: 'b', stage: 'offered' } };
const used: SecretVersions = { current: 'a', next: { version: 'b', stage: 'used' } };
const others = (stage: 'offered' | 'used'): SecretVersions => ({
  current: 'a',
  next: { version: 'x', stage },
});
/** Of a record that was made anew. */
const anew: SecretVersions = { current: null, next: null };
const idle: SecretVersions = { current: 'a', next: null };

interface Changes extends Partial<RotationFacts> {
  readonly versions?: SecretVersions;
  /** What every host says. */
  readonly use?: SecretUse;
  readonly hosts?: Readonly<Record<string, SecretUse | undefined>>;
}

/** Three nodes and a proxy that use `a`, at the step that brings `b` to be used. */
function facts({
  versions = idle,
  use = { uses: 'a', ready: null },
  hosts = {},
  ...rest
}: Changes): RotationFacts {
  const record = aRecord({ secrets: { ...neverRotated, superuser: versions } });
  const said = (host: string) => {
    const own = host in hosts ? hosts[host] : use;
    return own === undefined ? {} : { secrets: { superuser: own } };
  };
  return {
    ...{ kind: 'superuser', step: 'setSecret', version: 'b', standing: 'pending', currentVersion: 'a' },
    ...{ record, lease: aLease() },
    nodes: record.members.map((node) => ({
      ...{ ...sampleNodeReport, node, epoch: 1, streaming: node !== 'node1' },
      role: node === 'node1' ? 'primary' : 'standby',
      ...said(node),
    })),
    proxies: [{ ...sampleProxyReport, epoch: 1, paused: false, ...said('proxy1') }],
    ...rest,
  } as RotationFacts;
}

const ready = { uses: 'a', ready: 'b' };
const uses = { uses: 'b', ready: 'b' };
const operation = { id: 'o1', kind: 'failover', executionArn: null } as const;
const node = (change: object, of = facts({})) => of.nodes.map((one) => ({ ...one, ...change }));

const stories: readonly (readonly [rule: string, order: string, RotationFacts])[] = [
  ['no-such-version', 'refuse', facts({ standing: 'absent' })],
  ['over', 'done', facts({ standing: 'current', versions: { current: 'b', next: null } })],
  ['only-tried', 'done', facts({ step: 'testSecret', record: null })],
  ['only-tried', 'done', facts({ step: 'testSecret' })],
  ['not-bootstrapped', 'wait', facts({ record: null })],
  ['not-bootstrapped', 'wait', facts({ lease: null })],
  ['operation-under-way', 'wait', facts({ record: aRecord({ operation }) })],
  ['operation-under-way', 'wait', facts({ record: aRecord({ failoverState: 'initiated' }) })],
  ['operation-under-way', 'wait', facts({ step: 'createSecret', record: aRecord({ operation }) })],
  ['paused', 'wait', facts({ record: aRecord({ paused: true }) })],
  ['no-primary', 'wait', facts({ lease: aLease({ state: 'sealed' }) })],
  ['host-cannot-follow', 'wait', facts({ hosts: { node2: undefined } })],
  ['host-cannot-follow', 'wait', facts({ hosts: { proxy1: undefined } })],
  ['host-cannot-follow', 'wait', facts({ proxies: [] })],
  ['not-whole', 'wait', facts({ nodes: node({ epoch: 2 }) })],
  ['not-whole', 'wait', facts({ nodes: node({ postgres: 'stopped' }) })],
  ['not-whole', 'wait', facts({ nodes: node({ streaming: false }) })],
  ['not-whole', 'wait', facts({ proxies: facts({}).proxies.map((one) => ({ ...one, paused: true })) })],
  ['close-other', 'write', facts({ versions: others('used'), currentVersion: 'x' })],
  ['no-text', 'make-text', facts({ standing: 'empty', step: 'createSecret' })],
  ['no-text', 'make-text', facts({ standing: 'empty' })],
  ['created', 'done', facts({ step: 'createSecret' })],
  ['withdraw-other', 'write', facts({ versions: others('used') })],
  ['withdraw-other', 'write', facts({ versions: others('used'), nodes: node({ streaming: false }) })],
  ['withdraw-other', 'write', facts({ versions: others('used'), nodes: node({ postgres: 'stopped' }) })],
  [
    'not-whole',
    'wait',
    facts({ versions: others('used'), currentVersion: 'x', nodes: node({ streaming: false }) }),
  ],
  ['note-current', 'write', facts({ versions: anew })],
  ['note-current', 'write', facts({ versions: anew, hosts: { node2: { uses: null, ready: null } } })],
  ['host-behind', 'wait', facts({ versions: anew, hosts: { node2: { uses: 'z', ready: null } } })],
  ['host-behind', 'wait', facts({ versions: anew, currentVersion: 'z' })],
  ['offer', 'write', facts({ versions: anew, use: { uses: null, ready: null } })],
  ['host-behind', 'wait', facts({ hosts: { node3: { uses: 'z', ready: null } } })],
  [
    'host-behind',
    'wait',
    facts({ versions: others('offered'), hosts: { node3: { uses: 'x', ready: null } } }),
  ],
  ['offer', 'write', facts({})],
  ['offer', 'write', facts({ versions: others('offered') })],
  ['not-ready', 'wait', facts({ versions: offered })],
  [
    'not-ready',
    'wait',
    facts({ versions: offered, use: ready, hosts: { proxy1: { uses: 'a', ready: null } } }),
  ],
  ['not-ready', 'wait', facts({ step: 'finishSecret', versions: offered })],
  ['ready', 'done', facts({ versions: offered, use: ready })],
  ['ready', 'done', facts({ versions: used })],
  ['use', 'write', facts({ step: 'testSecret', versions: offered, use: ready })],
  ['not-used', 'wait', facts({ step: 'testSecret', versions: used, use: ready })],
  ['not-used', 'wait', facts({ step: 'finishSecret', versions: used, use: uses, hosts: { node2: ready } })],
  ['tested', 'done', facts({ step: 'testSecret', versions: used, use: uses })],
  ['make-current', 'make-current', facts({ step: 'finishSecret', versions: used, use: uses })],
  ['close', 'write', facts({ step: 'finishSecret', versions: used, use: uses, standing: 'current' })],
];

describe('a rotation', () => {
  it.each(stories)('%s orders %s', (rule, order, state) => {
    const decision = decideRotation(state);
    expect({ rule: decision.rule, order: decision.order.kind }).toEqual({ rule, order });
  });

  it('has a story for every row', () => {
    expect(new Set(stories.map(([rule]) => rule))).toEqual(new Set(rotationRules));
  });

  it('names the hosts it waits for', () => {
    const { reason } = decideRotation(
      facts({ versions: offered, use: ready, hosts: { node2: { uses: 'a', ready: null } } }),
    );
    expect(reason).toBe('node2: not ready for it');
  });

  it('takes the text of agents that hosts use for current only when all of them use it', () => {
    const cluster = (uses: string | null) => {
      const { nodes, proxies, ...rest } = facts({ versions: anew });
      const said = (is: string | null) => ({ secrets: { cluster: { uses: is, ready: null } } });
      return decideRotation({
        ...{ ...rest, kind: 'cluster' },
        nodes: nodes.map((one) => ({ ...one, ...said(one.node === 'node2' ? uses : 'a') })),
        proxies: proxies.map((one) => ({ ...one, ...said('a') })),
      }).rule;
    };
    expect([cluster('a'), cluster(null)]).toEqual(['note-current', 'host-behind']);
  });

  it('does not ask proxies about the login of replication', () => {
    const replication = { kind: 'replication', record: aRecord(), proxies: [] } as const;
    const nodes = facts({}).nodes.map((one) => ({
      ...one,
      secrets: { replication: { uses: null, ready: null } },
    }));
    const proxies = facts({}).proxies;
    expect(decideRotation({ ...facts({}), ...replication, nodes, proxies }).rule).toBe('offer');
  });

  it('changes one secret and no other, and never the current version before the end', () => {
    for (const [rule, , state] of stories) {
      const { order } = decideRotation(state);
      if (order.kind !== 'write') continue;
      if (rule === 'close') expect(order.versions).toEqual({ current: 'b', next: null });
      else if (rule === 'close-other') expect(order.versions).toEqual({ current: 'x', next: null });
      else if (rule === 'note-current') expect(order.versions).toEqual({ current: 'a', next: null });
      else expect(order.versions.current).toBe(state.record?.secrets?.superuser.current);
    }
  });
});
