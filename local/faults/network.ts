/**
 * Faults of the network between hosts, of a cluster whose hosts have one (driver `netns`): a host cut off from AWS, from other
 * hosts or from everything, both ways or one, in silence or refused; packets lost at random; AWS late. The machine's own
 * programs reach hosts as clients from outside: cut off from everything, a host is cut off from them too.
 */
import { randomBytes } from 'node:crypto';
import type { ClusterHandle } from '../runtime/cluster-handle.ts';
import { faultTablePrefix } from '../runtime/netns/cluster-network.ts';
import { noDelay } from '../runtime/netns/delayed-pipe.ts';
import type { HostPlace, NetworkPlan } from '../runtime/netns/network-plan.ts';
import { applyRules, tablesOf } from '../runtime/netns/network-tools.ts';
import type { Fault, FaultRole, Undo } from './fault.ts';
import { type CutHow, type CutWay, cutRules, liftRules, lossRules } from './network-rules.ts';

/** Whom a host is cut off from. */
export type Others = 'aws' | 'nodes' | 'proxies' | 'clients' | 'everything';

function networkOf(cluster: ClusterHandle): NetworkPlan {
  const network = cluster.network();
  if (network === null) throw new Error('the hosts have no network of their own: it needs hosts: "netns"');
  return network;
}

function placeOf(cluster: ClusterHandle, host: string): HostPlace {
  const place = networkOf(cluster).hosts[host];
  if (place === undefined) throw new Error(`the host ${host} has no place in the network`);
  return place;
}

/** Null is everybody. */
function addressesOf(cluster: ClusterHandle, host: string, others: Others): string[] | null {
  const { region } = networkOf(cluster);
  const { nodes, proxies } = cluster.wanted;
  const hosts = (ids: readonly string[]) =>
    ids.filter((id) => id !== host).map((id) => placeOf(cluster, id).address);
  switch (others) {
    case 'aws':
      return [region.awsAddress];
    case 'clients':
      return [region.clientAddress];
    case 'nodes':
      return hosts(nodes);
    case 'proxies':
      return hosts(proxies);
    case 'everything':
      return null;
  }
}

async function inForce(
  cluster: ClusterHandle,
  host: string,
  rules: (table: string) => string,
): Promise<Undo> {
  const { namespace } = placeOf(cluster, host);
  const table = `${faultTablePrefix}${randomBytes(4).toString('hex')}`;
  await applyRules(namespace, rules(table));
  return async () => {
    if ((await tablesOf(namespace)).includes(table)) await applyRules(namespace, liftRules(table));
  };
}

/** Cuts a host off from others; established connections are cut as well. */
export function cutOff(
  cluster: ClusterHandle,
  host: string,
  others: Others,
  { way = 'both', how = 'drop' }: { readonly way?: CutWay; readonly how?: CutHow } = {},
): Promise<Undo> {
  const from = addressesOf(cluster, host, others);
  return inForce(cluster, host, (table) => cutRules(table, { from, way, how }));
}

/** Loses that many of a hundred packets of a host, in each direction. */
export function losePackets(cluster: ClusterHandle, host: string, percent: number): Promise<Undo> {
  return inForce(cluster, host, (table) => lossRules(table, percent));
}

/** Whatever a host says to AWS, and AWS to it, arrives so much later. */
export async function delayAws(
  cluster: ClusterHandle,
  host: string,
  ms: number,
  jitterMs: number,
): Promise<Undo> {
  await cluster.delay('aws', host, { forthMs: ms, backMs: ms, jitterMs });
  return () => cluster.delay('aws', host, noDelay);
}

interface CutFault {
  readonly strikes: FaultRole;
  readonly name: string;
  readonly what: string;
  readonly others: Others;
  readonly way?: CutWay;
  readonly how?: CutHow;
}

const cuts: readonly CutFault[] = [
  { strikes: 'primary', name: 'cut-from-aws', what: 'is cut off from AWS', others: 'aws' },
  {
    strikes: 'primary',
    name: 'refused-by-aws',
    what: 'is refused by AWS, with resets',
    others: 'aws',
    how: 'reject',
  },
  { strikes: 'primary', name: 'cut-from-nodes', what: 'is cut off from its standbys', others: 'nodes' },
  { strikes: 'primary', name: 'cut-from-proxies', what: 'is cut off from the proxies', others: 'proxies' },
  {
    strikes: 'primary',
    name: 'cut-from-everything',
    what: 'is cut off from everything',
    others: 'everything',
  },
  {
    strikes: 'primary',
    name: 'deaf',
    what: 'is heard by all, and hears nobody',
    others: 'everything',
    way: 'in',
  },
  {
    strikes: 'primary',
    name: 'mute',
    what: 'hears all, and is heard by nobody',
    others: 'everything',
    way: 'out',
  },
  {
    strikes: 'primary',
    name: 'unheard-by-nodes',
    what: 'hears its standbys, which do not hear it',
    others: 'nodes',
    way: 'out',
  },
  { strikes: 'standby', name: 'cut-from-aws', what: 'is cut off from AWS', others: 'aws' },
  { strikes: 'standby', name: 'cut-from-nodes', what: 'is cut off from the other nodes', others: 'nodes' },
  {
    strikes: 'standby',
    name: 'cut-from-everything',
    what: 'is cut off from everything',
    others: 'everything',
  },
  { strikes: 'proxy', name: 'cut-from-aws', what: 'is cut off from AWS', others: 'aws' },
  { strikes: 'proxy', name: 'cut-from-nodes', what: 'is cut off from the nodes', others: 'nodes' },
];

const lossPercent = 20;
const lateMs = 150;
const lateJitterMs = 100;

/** Every fault of the network; each needs hosts with a network of their own. */
export const networkFaults: readonly Fault[] = [
  ...cuts.map(
    ({ strikes, name, what, others, way = 'both', how = 'drop' }): Fault => ({
      id: `${strikes}-${name}`,
      what: `the ${strikes} ${what}`,
      needs: 'netns',
      strikes,
      apply: (cluster, host) => cutOff(cluster, host, others, { way, how }),
    }),
  ),
  ...(['primary', 'standby', 'proxy'] as const).map(
    (strikes): Fault => ({
      id: `${strikes}-loses-packets`,
      what: `${lossPercent} of 100 packets of the ${strikes} are lost each way`,
      needs: 'netns',
      strikes,
      apply: (cluster, host) => losePackets(cluster, host, lossPercent),
    }),
  ),
  ...(['primary', 'standby'] as const).map(
    (strikes): Fault => ({
      id: `${strikes}-aws-late`,
      what: `AWS is ${lateMs} to ${lateMs + lateJitterMs} ms away from the ${strikes}, each way`,
      needs: 'netns',
      strikes,
      apply: (cluster, host) => delayAws(cluster, host, lateMs, lateJitterMs),
    }),
  ),
];
