/**
 * The peer channel of a database host: what it answers by what its agent knows, whom it asks by what the directory has, and the events
 * that say when failsafe mode began and ended.
 */
import { uptimeMs } from '../../adapters/clock.ts';
import type { SharedSecret } from '../../adapters/peer/shared-secret.ts';
import type { DatabaseHostConfig } from '../../core/model/host-config.ts';
import type { ActionRunner } from '../action-runner.ts';
import type { Emit } from '../emit.ts';
import type { FailsafeChannel } from '../failsafe-asker.ts';
import type { LeaseKeeper } from '../lease-keeper.ts';
import type { NodeDirectory } from '../node-directory.ts';
import { createPeerLink, type PeerLink } from '../peer-link.ts';

export function peerLinkOf(host: {
  readonly config: DatabaseHostConfig;
  readonly keeper: LeaseKeeper;
  readonly runner: ActionRunner;
  readonly directory: NodeDirectory;
  readonly secret: SharedSecret;
}): PeerLink {
  const { config, keeper, runner, directory, secret } = host;
  /** As last read: two hosts with one node id must not both speak for it. */
  const isRegisteredElsewhere = (): boolean => {
    const own = directory.nodes().find(({ node }) => node === config.node);
    return own !== undefined && own.instanceId !== config.instanceId;
  };
  return createPeerLink({
    config,
    secret,
    now: uptimeMs,
    nodes: () => directory.nodes(),
    answerFailsafe: (ask) => keeper.answerFailsafe(ask, config.cluster, isRegisteredElsewhere()),
    runAction: (operation, action, onLine) => runner.follow(operation, action, onLine),
  });
}

/** `agent` is asked when it is needed: the keeper that uses this channel is a part of it. */
export function failsafeChannel(
  cluster: string,
  agent: () => { readonly peers: PeerLink; readonly keeper: LeaseKeeper; readonly emit: Emit },
): FailsafeChannel {
  return {
    cluster,
    ask: (member, ask, timeoutMs) => agent().peers.ask(member, ask, timeoutMs),
    onFailsafe: (active, reason) => {
      const { keeper, emit } = agent();
      const epoch = keeper.view().watch.lease?.epoch ?? null;
      emit(active ? 'failsafe_entered' : 'failsafe_left', reason, { epoch });
    },
  };
}
