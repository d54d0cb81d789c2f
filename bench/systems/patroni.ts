/**
 * Patroni with etcd from Debian's packages, as a system under test: with its default times, and tuned as fast as it goes. etcd has one
 * member, which is to Patroni's advantage where three would share cores and disk.
 */
import { join } from 'node:path';
import { programVersion } from '../measure/machine-facts.ts';
import { openPeer, type PeerSite, restartAfterMs } from './peers/open-peer.ts';
import {
  clusterProblem,
  type PatroniTimes,
  patroniDefaults,
  patroniTuned,
  renderPatroni,
} from './peers/patroni-config.ts';
import type { PeerDriver, PeerNode } from './peers/peer-cluster.ts';
import { type CheckTimes, shippedCheckTimes, tunedCheckTimes } from './peers/peer-haproxy.ts';
import { defaultLoginRetryS, tunedLoginRetryS } from './peers/peer-pgbouncer.ts';
import { commonPackages, findPeerProgram, missingOf, requirePeerProgram } from './peers/peer-programs.ts';
import type { OpenSystem, SystemMaker } from './system-under-test.ts';

interface Flavour {
  readonly name: string;
  readonly times: PatroniTimes;
  readonly check: CheckTimes;
  readonly loginRetryS: number;
}

export const patroni: readonly SystemMaker[] = [
  {
    name: 'patroni-defaults',
    times: patroniDefaults,
    check: shippedCheckTimes,
    loginRetryS: defaultLoginRetryS,
  },
  { name: 'patroni-tuned', times: patroniTuned, check: tunedCheckTimes, loginRetryS: tunedLoginRetryS },
].map((flavour) => ({
  name: flavour.name,
  missingPackages: () =>
    missingOf([
      ...commonPackages(),
      [findPeerProgram('patroni') !== null, 'patroni'],
      [findPeerProgram('etcd') !== null, 'etcd-server'],
    ]),
  refuses: ({ hosts }: Pick<OpenSystem, 'hosts'>) =>
    hosts === 'loopback' ? null : 'the harness sets it up on the loopback address only',
  open: (options: OpenSystem) => openPeer(flavour.name, options, (site) => build(flavour, site)),
}));

const switchoverTimeoutMs = 90_000;
const answerTimeoutMs = 2_000;

async function build(flavour: Flavour, { nodes, store, binDir, freePort, options }: PeerSite) {
  const etcdPort = await freePort();
  bootEtcd(store.folder, etcdPort, await freePort(), (argv) =>
    store.boot([{ name: 'etcd', argv, restartAfterMs }]),
  );
  const program = requirePeerProgram('patroni');
  const restPorts = new Map<string, number>();
  for (const { id, host, port, dataDir } of nodes) {
    const restPort = await freePort();
    restPorts.set(id, restPort);
    const text = renderPatroni(
      {
        id,
        port,
        restPort,
        dataDir,
        binDir,
        etcdPort,
        passwordFile: join(host.folder, 'pgpass'),
        socketFolder: host.folder,
      },
      flavour.times,
      options.mode,
    );
    host.boot([{ name: 'patroni', argv: [program, host.write('patroni.yml', text)], restartAfterMs }]);
  }
  const restPort = ({ id }: PeerNode) => restPorts.get(id) ?? 0;
  const { intervalMs, fall, rise } = flavour.check;
  const driver: PeerDriver = {
    name: flavour.name,
    settings: {
      ...flavour.times,
      watchdog: 'off',
      haproxyCheck: `inter ${intervalMs}ms fall ${fall} rise ${rise}`,
      pgbouncerLoginRetryS: flavour.loginRetryS,
    },
    versions: { patroni: programVersion(program), etcd: programVersion(requirePeerProgram('etcd')) },
    agentTitle: /\/patroni\.yml$/,
    unsettled: async (primary) => {
      const url = `http://127.0.0.1:${restPort(primary)}/cluster`;
      const answer = await fetch(url, { signal: AbortSignal.timeout(answerTimeoutMs) });
      return clusterProblem(await answer.json(), nodes.length, options.mode !== 'off');
    },
    switchover: async (primary, signal) => {
      const answer = await fetch(`http://127.0.0.1:${restPort(primary)}/switchover`, {
        method: 'POST',
        body: JSON.stringify({ leader: primary.id }),
        signal: AbortSignal.any([signal, AbortSignal.timeout(switchoverTimeoutMs)]),
      });
      if (!answer.ok) throw new Error(`Patroni answers to a switchover: ${await answer.text()}`);
    },
  };
  return {
    driver,
    haproxy: {
      nodes: nodes.map((node) => ({ id: node.id, port: node.port, restPort: restPort(node) })),
      check: { kind: 'rest' } as const,
      times: flavour.check,
    },
    loginRetryS: flavour.loginRetryS,
  };
}

function bootEtcd(
  folder: string,
  clientPort: number,
  peerPort: number,
  boot: (argv: readonly [string, ...string[]]) => void,
): void {
  const [clients, peers] = [`http://127.0.0.1:${clientPort}`, `http://127.0.0.1:${peerPort}`];
  boot([
    requirePeerProgram('etcd'),
    ...['--name', 'store', '--data-dir', join(folder, 'data'), '--logger', 'zap', '--log-level', 'warn'],
    ...['--listen-client-urls', clients, '--advertise-client-urls', clients],
    ...['--listen-peer-urls', peers, '--initial-advertise-peer-urls', peers],
    ...['--initial-cluster', `store=${peers}`],
  ]);
}
