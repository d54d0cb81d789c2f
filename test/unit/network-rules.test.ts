/** The rules of network faults: whom they cut off, in which direction, and that a refusal gets through. */
import { describe, expect, it } from 'vitest';
import { cutRules, liftRules, lossRules } from '../../local/faults/network-rules.ts';
import { namespacesOf, planNetwork } from '../../local/runtime/netns/network-plan.ts';

const chains = (rules: string) =>
  Object.fromEntries(
    ['input', 'output'].map((name) => {
      const body = new RegExp(`chain ${name} \\{([^]*?)\\n  \\}`).exec(rules)?.[1] ?? '';
      return [name, body.trim().split(/\n\s*/).slice(2)];
    }),
  );

describe('the rules of a cut', () => {
  it('drop both ways what goes to, and comes from, those addresses', () => {
    expect(chains(cutRules('t', { from: ['10.77.0.1', '10.77.0.12'], way: 'both', how: 'drop' }))).toEqual({
      input: ['ip saddr { 10.77.0.1, 10.77.0.12 } drop'],
      output: ['ip daddr { 10.77.0.1, 10.77.0.12 } drop'],
    });
  });

  it('leave the other direction alone when only one is cut', () => {
    expect(chains(cutRules('t', { from: null, way: 'in', how: 'drop' }))).toEqual({
      input: ['drop'],
      output: [],
    });
    expect(chains(cutRules('t', { from: null, way: 'out', how: 'drop' }))).toEqual({
      input: [],
      output: ['drop'],
    });
  });

  it('let the refusal itself through before they refuse', () => {
    const { input } = chains(cutRules('t', { from: ['10.77.0.2'], way: 'both', how: 'reject' }));
    expect(input).toEqual([
      'tcp flags & rst == rst accept',
      'icmp type destination-unreachable accept',
      'ip saddr { 10.77.0.2 } meta l4proto tcp reject with tcp reset',
      'ip saddr { 10.77.0.2 } reject with icmp type admin-prohibited',
    ]);
  });

  it('never touch what a host says to itself, and are undone as one table', () => {
    const rules = lossRules('leasehold_fault_x', 20);
    expect(rules.match(/name "lo" accept/g)).toHaveLength(2);
    expect(rules.match(/numgen random mod 100 < 20 drop/g)).toHaveLength(2);
    expect(rules.startsWith('table inet leasehold_fault_x {')).toBe(true);
    expect(liftRules('leasehold_fault_x')).toBe('delete table inet leasehold_fault_x\n');
  });
});

describe('the plan of a network', () => {
  it('gives a host the same place however many come after it, and no two the same', () => {
    const few = planNetwork('/tmp', ['node1', 'node2']);
    const more = planNetwork('/tmp', ['node1', 'node2', 'region', 'proxy1']);
    expect(more.hosts['node2']).toEqual(few.hosts['node2']);
    const places = Object.values(more.hosts);
    for (const part of ['address', 'macAddress', 'namespace', 'bridgePort'] as const) {
      expect(new Set(places.map((place) => place[part])).size).toBe(places.length);
    }
    expect(new Set(namespacesOf(more)).size).toBe(5);
    for (const { bridgePort } of places) expect(bridgePort.length).toBeLessThan(16);
  });

  it('has other names for another folder', () => {
    expect(planNetwork('/', ['a']).region.namespace).not.toBe(planNetwork('/tmp', ['a']).region.namespace);
  });

  it('refuses more hosts than there are addresses', () => {
    expect(() =>
      planNetwork(
        '/tmp',
        Array.from({ length: 241 }, (_, at) => `h${at}`),
      ),
    ).toThrow(/241 hosts/);
  });
});
