/**
 * How every peer comes up: a folder, three nodes with free ports, HAProxy in front, and everything down again when it does not become whole.
 */
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeMissing, findInstallation } from '../../../adapters/postgres/find-installation.ts';
import { chooseFreePort } from '../../../local/runtime/free-ports.ts';
import { unprivilegedUser } from '../../../local/runtime/unprivileged-user.ts';
import type { OpenSystem, SystemUnderTest } from '../system-under-test.ts';
import { closeParts, type PeerDriver, type PeerNode, type PeerParts, PeerUnderTest } from './peer-cluster.ts';
import { type PeerHaproxy, renderPeerHaproxy } from './peer-haproxy.ts';
import { PeerHost } from './peer-host.ts';
import { peerUserlist, renderPeerPgbouncer } from './peer-pgbouncer.ts';
import { requirePeerProgram } from './peer-programs.ts';

/** systemd's default; Debian's units of Patroni and etcd, and the one that pg_autoctl prints, do not change it. */
export const restartAfterMs = 100;
const nodeIds = ['node1', 'node2', 'node3'] as const;
/** The default of Leasehold's cluster file. */
const poolSize = 50;
const upTimeoutMs = 150_000;

/** What a peer builds on. */
export interface PeerSite {
  readonly binDir: string;
  readonly nodes: readonly PeerNode[];
  readonly store: PeerHost;
  readonly freePort: () => Promise<number>;
  readonly options: OpenSystem;
}

/** Configures and boots store and nodes, and says what of HAProxy is its own. */
export type BuildPeer = (site: PeerSite) => Promise<{
  readonly driver: PeerDriver;
  readonly haproxy: Pick<PeerHaproxy, 'nodes' | 'check' | 'times'>;
  readonly loginRetryS: number;
}>;

/** `name` is the folder's. Throws what kept it from becoming whole; then nothing runs and the folder is gone. */
export async function openPeer(
  name: string,
  options: OpenSystem,
  build: BuildPeer,
): Promise<SystemUnderTest> {
  const installation = await findInstallation();
  if (installation.kind === 'missing') throw new Error(describeMissing(installation));
  const folder = mkdtempSync(join(tmpdir(), `leasehold-${name}-`));
  // Otherwise PostgreSQL's user could not enter it.
  chmodSync(folder, 0o755);
  const parts = await makeParts(folder, installation.binDir);
  try {
    const { driver, ...front } = await build({
      binDir: installation.binDir,
      nodes: parts.nodes,
      store: parts.store,
      freePort: parts.freePort,
      options,
    });
    bootProxy(parts, front);
    const system = new PeerUnderTest(parts, driver, options);
    options.onProgress(`${system.name}: three nodes come up`);
    await system.untilWhole(upTimeoutMs, options.signal);
    return system;
  } catch (error) {
    const keep = process.env['LEASEHOLD_KEEP_SANDBOX'] !== undefined && !options.signal.aborted;
    await closeParts(parts, keep);
    if (keep) options.onProgress(`logs and data are kept in ${folder}`);
    throw error;
  }
}

async function makeParts(folder: string, binDir: string) {
  const runAs = unprivilegedUser();
  const taken = new Set<number>();
  const freePort = () => chooseFreePort(taken);
  const path = `${binDir}:${process.env['PATH'] ?? '/usr/bin:/bin'}`;
  const host = (id: string) => new PeerHost({ id, folder: join(folder, id), runAs, env: { PATH: path } });
  const nodes: PeerNode[] = [];
  for (const id of nodeIds) {
    const own = host(id);
    nodes.push({ id, host: own, port: await freePort(), dataDir: join(own.folder, 'data') });
  }
  const front = { haproxyPort: await freePort(), pgbouncerPort: await freePort() };
  return { folder, nodes, store: host('store'), proxy: host('proxy'), ...front, freePort };
}

function bootProxy(
  { proxy, haproxyPort, pgbouncerPort }: PeerParts,
  { haproxy, loginRetryS }: Pick<Awaited<ReturnType<BuildPeer>>, 'haproxy' | 'loginRetryS'>,
): void {
  const userlistFile = proxy.write('userlist.txt', peerUserlist());
  const pgbouncer = {
    port: pgbouncerPort,
    haproxyPort,
    poolSize,
    loginRetryS,
    userlistFile,
  };
  const haproxyFile = proxy.write('haproxy.cfg', renderPeerHaproxy({ port: haproxyPort, ...haproxy }));
  const pgbouncerFile = proxy.write('pgbouncer.ini', renderPeerPgbouncer(pgbouncer));
  proxy.boot([
    { name: 'haproxy', argv: [requirePeerProgram('haproxy'), '-db', '-f', haproxyFile], restartAfterMs },
    { name: 'pgbouncer', argv: [requirePeerProgram('pgbouncer'), pgbouncerFile], restartAfterMs },
  ]);
}
