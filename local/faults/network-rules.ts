/**
 * The nftables rules of network faults, as text for `nft -f`: pure, so that they can be read and tested without root. Each fault is
 * one table in the namespace of the host it strikes, under a name of its own; deleting the table is its undo. The rules look at
 * every packet, those of established connections included. What a host says to itself passes.
 */

/** Silence, or an answer that says no. */
export type CutHow = 'drop' | 'reject';

/** As seen from the struck host: what comes in, what goes out. */
export type CutWay = 'both' | 'in' | 'out';

export interface Cut {
  /** Addresses at the other end; null is everybody. */
  readonly from: readonly string[] | null;
  readonly way: CutWay;
  readonly how: CutHow;
}

/** Before connection tracking's own table and the security group's: whoever drops first decides. */
const priority = -20;

export function cutRules(table: string, { from, way, how }: Cut): string {
  const peer = (side: 'saddr' | 'daddr') => (from === null ? '' : `ip ${side} { ${from.join(', ')} } `);
  const verdicts = (match: string) =>
    how === 'drop'
      ? [`${match}drop`]
      : // The refusal itself has to get through, to the other end or back to the sender here.
        [
          'tcp flags & rst == rst accept',
          'icmp type destination-unreachable accept',
          `${match}meta l4proto tcp reject with tcp reset`,
          `${match}reject with icmp type admin-prohibited`,
        ];
  return tableOf(table, {
    input: way === 'out' ? [] : verdicts(peer('saddr')),
    output: way === 'in' ? [] : verdicts(peer('daddr')),
  });
}

/** Each packet is lost with that chance, in each direction. */
export function lossRules(table: string, percent: number): string {
  const lose = [`numgen random mod 100 < ${percent} drop`];
  return tableOf(table, { input: lose, output: lose });
}

export function liftRules(table: string): string {
  return `delete table inet ${table}\n`;
}

function tableOf(
  table: string,
  chains: { readonly input: readonly string[]; readonly output: readonly string[] },
): string {
  const chain = (hook: 'input' | 'output', device: 'iifname' | 'oifname') =>
    [
      `  chain ${hook} {`,
      `    type filter hook ${hook} priority ${priority}`,
      `    ${device} "lo" accept`,
      ...chains[hook].map((rule) => `    ${rule}`),
      '  }',
    ].join('\n');
  return `table inet ${table} {\n${chain('input', 'iifname')}\n${chain('output', 'oifname')}\n}\n`;
}
