/**
 * pg_auto_failover with its monitor from Debian's packages, as a system under test: with its default times, and tuned as fast as it goes. It has
 * no HTTP check for HAProxy, and recommends a DSN with several hosts; both are offered, the check by a query.
 */
import { appendFileSync, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { sleepMs } from '../../adapters/clock.ts';
import { programVersion } from '../measure/machine-facts.ts';
import { openPeer, type PeerSite, restartAfterMs } from './peers/open-peer.ts';
import type { PeerDriver, PeerNode } from './peers/peer-cluster.ts';
import { type CheckTimes, shippedCheckTimes, tunedCheckTimes } from './peers/peer-haproxy.ts';
import type { PeerHost } from './peers/peer-host.ts';
import { defaultLoginRetryS, tunedLoginRetryS } from './peers/peer-pgbouncer.ts';
import { dsnOf, initdbOptions, login, queryOnce } from './peers/peer-postgres.ts';
import {
  commonPackages,
  findPeerProgram,
  missingOf,
  requirePeerProgram,
  serverFolders,
} from './peers/peer-programs.ts';
import {
  accessRules,
  checkUser,
  type MonitorRow,
  monitorProblem,
  monitorQuery,
  monitorSettings,
  nodeSettings,
  type PgafTimes,
  pgafDefaults,
  pgafTuned,
  replicationOf,
} from './peers/pgaf-config.ts';
import type { OpenSystem, SystemMaker } from './system-under-test.ts';

interface Flavour {
  readonly name: string;
  readonly times: PgafTimes;
  readonly check: CheckTimes;
  readonly loginRetryS: number;
}

export const pgAutoFailover: readonly SystemMaker[] = [
  { name: 'pgaf-defaults', times: pgafDefaults, check: shippedCheckTimes, loginRetryS: defaultLoginRetryS },
  { name: 'pgaf-tuned', times: pgafTuned, check: tunedCheckTimes, loginRetryS: tunedLoginRetryS },
].map((flavour) => ({
  name: flavour.name,
  missingPackages: () =>
    missingOf([
      ...commonPackages(),
      [findPeerProgram('pg_autoctl') !== null, 'pg-auto-failover-cli'],
      extensionPackage(serverFolders()[0]),
    ]),
  refuses: ({ hosts }: Pick<OpenSystem, 'hosts'>) =>
    hosts === 'loopback' ? null : 'the harness sets it up on the loopback address only',
  open: (options: OpenSystem) => openPeer(flavour.name, options, (site) => build(flavour, site)),
}));

/** The monitor's extension for the newest server, in Debian's folders. */
function extensionPackage(binDir: string | undefined): readonly [boolean, string] {
  const versionFolder = binDir === undefined ? '/usr/lib/postgresql/15' : dirname(binDir);
  const major = versionFolder.split('/').at(-1) ?? '15';
  return [existsSync(join(versionFolder, 'lib', 'pgautofailover.so')), `postgresql-${major}-auto-failover`];
}

const createTimeoutMs = 90_000;
const switchoverTimeoutMs = 90_000;
const answerTimeoutMs = 30_000;

async function build(flavour: Flavour, site: PeerSite) {
  const { nodes, options } = site;
  const program = requirePeerProgram('pg_autoctl');
  const port = await bootMonitor(flavour, site, program);
  for (const node of nodes) await bootNode(node, flavour, site, { program, monitorPort: port });
  const [first] = nodes;
  if (first === undefined) throw new Error('no nodes');
  const { syncStandbys } = replicationOf(options.mode);
  await first.host.run(
    [program, 'set', 'formation', 'number-sync-standbys', String(syncStandbys), '--pgdata', first.dataDir],
    { timeoutMs: answerTimeoutMs, signal: options.signal },
  );
  const { intervalMs, fall, rise } = flavour.check;
  const driver: PeerDriver = {
    name: flavour.name,
    settings: {
      ...flavour.times,
      numberSyncStandbys: syncStandbys,
      replicationQuorum: replicationOf(options.mode).quorum,
      haproxyCheck: `inter ${intervalMs}ms fall ${fall} rise ${rise}`,
      pgbouncerLoginRetryS: flavour.loginRetryS,
    },
    versions: { pg_auto_failover: programVersion(program) },
    // "pg_autoctl run", and its children "pg_autoctl: node active" and "pg_autoctl: start/stop postgres".
    agentTitle: /^\S*pg_autoctl/,
    unsettled: async () =>
      monitorProblem(await queryOnce<MonitorRow>(monitorDsn(port), monitorQuery), nodes.length),
    switchover: async (primary, signal) => {
      const argv = [program, 'perform', 'switchover', '--pgdata', primary.dataDir];
      await primary.host.run(argv, { timeoutMs: switchoverTimeoutMs, signal });
    },
  };
  return {
    driver,
    haproxy: {
      nodes: nodes.map(({ id, port: postgresPort }) => ({ id, port: postgresPort })),
      check: { kind: 'query', user: checkUser } as const,
      times: flavour.check,
    },
    loginRetryS: flavour.loginRetryS,
  };
}

function monitorDsn(port: number): string {
  return `postgres://autoctl_node@127.0.0.1:${port}/pg_auto_failover`;
}

/** Its port. */
async function bootMonitor(
  flavour: Flavour,
  { store, binDir, freePort, options }: PeerSite,
  program: string,
) {
  const port = await freePort();
  const dataDir = join(store.folder, 'data');
  const run = (...argv: string[]) =>
    store.run([program, ...argv, '--pgdata', dataDir], {
      timeoutMs: createTimeoutMs,
      signal: options.signal,
    });
  const common = [
    '--hostname',
    '127.0.0.1',
    '--auth',
    'trust',
    '--no-ssl',
    '--pgctl',
    join(binDir, 'pg_ctl'),
  ];
  await run('create', 'monitor', '--pgport', String(port), ...common);
  await run('config', 'set', 'postgresql.listen_addresses', '127.0.0.1');
  appendFileSync(join(dataDir, 'postgresql.conf'), monitorSettings(flavour.times, store.folder));
  store.boot([autoctl(program, dataDir)]);
  await untilAnswers(() => queryOnce(monitorDsn(port), 'select 1'), options.signal);
  return port;
}

async function bootNode(
  node: PeerNode,
  { times }: Flavour,
  { nodes, binDir, options }: PeerSite,
  { program, monitorPort }: { readonly program: string; readonly monitorPort: number },
): Promise<void> {
  const { id, host, port, dataDir } = node;
  const isFirst = node === nodes[0];
  // The other nodes copy the first one's settings, so the sockets of all are in its folder; a socket's name has the port.
  const socketFolder = nodes[0]?.host.folder ?? host.folder;
  if (isFirst) await initialise(host, dataDir, { binDir, socketFolder, signal: options.signal });
  const run = (...argv: string[]) =>
    host.run([program, ...argv, '--pgdata', dataDir], { timeoutMs: createTimeoutMs, signal: options.signal });
  await run(
    ...['create', 'postgres', '--name', id, '--hostname', '127.0.0.1', '--listen', '127.0.0.1'],
    ...['--pgport', String(port), '--pghost', socketFolder, '--pgctl', join(binDir, 'pg_ctl')],
    ...['--username', login.user, '--dbname', 'postgres', '--auth', 'trust', '--no-ssl'],
    ...['--monitor', monitorDsn(monitorPort)],
    ...['--replication-quorum', String(replicationOf(options.mode).quorum)],
  );
  await run('config', 'set', 'timeout.network_partition_timeout', String(times.networkPartitionS));
  host.boot([autoctl(program, dataDir)]);
  if (isFirst) {
    await untilAnswers(() => queryOnce(dsnOf(port), `create role ${checkUser} login`), options.signal);
  }
}

function autoctl(program: string, dataDir: string) {
  return { name: 'pg_autoctl', argv: [program, 'run', '--pgdata', dataDir] as const, restartAfterMs };
}

/** pg_auto_failover takes a server that is there already. This one is made as Leasehold makes its first. */
async function initialise(
  host: PeerHost,
  dataDir: string,
  place: { readonly binDir: string; readonly socketFolder: string; readonly signal: AbortSignal },
): Promise<void> {
  const passwordFile = host.write('password', `${login.password}\n`);
  await host.run(
    [
      join(place.binDir, 'initdb'),
      ...['-D', dataDir, '--username', login.user, '--pwfile', passwordFile, '--data-checksums'],
      ...['--encoding', initdbOptions.encoding, '--locale', initdbOptions.locale],
      ...['--auth-local', 'trust', '--auth-host', 'scram-sha-256'],
    ],
    { timeoutMs: createTimeoutMs, signal: place.signal },
  );
  appendFileSync(join(dataDir, 'postgresql.conf'), nodeSettings(place.socketFolder));
  host.write('data/pg_hba.conf', accessRules());
}

/** Tries until the server takes it, for as long as a start may take. Throws its last answer. */
async function untilAnswers(ask: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  const untilMs = performance.now() + answerTimeoutMs;
  for (;;) {
    signal.throwIfAborted();
    try {
      await ask();
      return;
    } catch (error) {
      if (performance.now() > untilMs) throw error;
    }
    await sleepMs(100);
  }
}
