/**
 * Puts a database host's agent together: every dependency is made here and passed on. Runs until SIGTERM or SIGINT, which
 * end the agent and leave PostgreSQL and the guard running (a restarted agent adopts them); SIGUSR2 ends all of the host,
 * for an orderly shutdown of the machine.
 */

import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createAwsClients } from '../adapters/aws/clients.ts';
import { createClusterStore } from '../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../adapters/aws/dynamo-client.ts';
import { versionReader } from '../adapters/aws/secrets.ts';
import { uptimeMs } from '../adapters/clock.ts';
import { isProcessAlive } from '../adapters/process.ts';
import { createWakeUp } from '../adapters/wake-up.ts';
import { renderMetrics } from '../core/host/metrics.ts';
import { standsBy } from '../core/lease/stands-by.ts';
import { isLogin, secretKinds } from '../core/model/cluster-secrets.ts';
import type { DatabaseHostConfig } from '../core/model/host-config.ts';
import type { Lease } from '../core/model/lease.ts';
import type { NodeReport } from '../core/model/node-report.ts';
import { ActionRunner } from './action-runner.ts';
import { writeAgentFile } from './agent-file.ts';
import type { CertificateKeeper } from './certificates.ts';
import { CommandTranscript } from './command-transcript.ts';
import { createControlPlaneClients } from './control-plane-clients.ts';
import { listenForControl } from './control-socket.ts';
import { databaseCertificates } from './database/database-certificates.ts';
import { DatabaseHost } from './database/database-host.ts';
import { databaseExecutors } from './database/executors.ts';
import { failsafeChannel, peerLinkOf } from './database/failsafe-channel.ts';
import { HealthWatch } from './database/health-watch.ts';
import { metricsOf } from './database/metrics-of.ts';
import type { OrderContext } from './database/orders.ts';
import { postgresFor } from './database/postgres-for.ts';
import { resumeJournal } from './database/resume-journal.ts';
import { isLoginInUse, mayUseLogin, prepareSecret } from './database/rotate-login.ts';
import { Server } from './database/server.ts';
import { SynchronousNames } from './database/synchronous-names.ts';
import { DiskState } from './disk-state.ts';
import { createEmit, createLog } from './emit.ts';
import { endHost } from './end-host.ts';
import { Guard } from './guard.ts';
import { Journal } from './journal.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { NodeDirectory } from './node-directory.ts';
import {
  controlFilePath,
  dataDirectory,
  guardFifoPath,
  guardLogPath,
  secretBookPath,
  stateFolder,
  watchdogMarkPath,
} from './paths.ts';
import type { PeerLink } from './peer-link.ts';
import { readRelease } from './release.ts';
import { startRestServer } from './rest-server.ts';
import { SecretBook } from './secret-book.ts';
import { SecretRotation } from './secret-rotation.ts';
import { tellServiceManager } from './service-manager.ts';
import { WakeSignal } from './wake-signal.ts';
import { Watchdog } from './watchdog.ts';

/** A dead postmaster is noticed within this time where its end is not heard on the observer's connection. */
const watchPostmasterMs = 50;
/** Each wake-up of a process costs more than what is looked at here: one timer for all of it. */
const tickMs = 250;
/** A round each so many ticks, whatever happens. */
const roundTicks = 2;
const settleMs = 5_000;
/** How much later a node reads the lease that only stands by while others pass it on. */
const standByMs = 100;

export async function runDatabase(installed: DatabaseHostConfig): Promise<number> {
  const book = new SecretBook(secretBookPath(installed), installed);
  return await runWith({ ...installed, secrets: book.secrets }, book);
}

async function runWith(config: DatabaseHostConfig, book: SecretBook): Promise<number> {
  for (const path of [controlFilePath(config), guardLogPath(config), dataDirectory(config)]) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  }
  const agent = await assemble(config, book);
  const { context, guard, host, runner } = agent;
  const { keeper, wakeUp, log, server } = context;
  // The lock on the host's folder first: a second agent must not touch what the first one guards.
  const control = await listenForControl(controlFilePath(config), {
    runAction: async ({ operation, action }, onLine) => runner.follow(operation, action, onLine),
  });
  await ensureGuard(agent);
  const rest = await startRestServer({
    host: config.host,
    port: config.restPort,
    facts: () => host.health(),
    status: () => describe(host.report(), keeper),
    take: agent.peers.take,
    metrics: () => renderMetrics(metricsOf(context, host.report())),
  });
  agent.listensOn(rest.port);
  writeAgentFile(config, { restPort: rest.port, wakePort: wakeUp.port });
  log('info', 'agent started', {
    incarnation: context.writer.incarnation,
    rest_port: rest.port,
    guard: guard.pid(),
  });
  keeper.start();
  void resumeJournal(context).finally(() => host.begin());
  const stopTimers = startTimers(agent);
  const tellNoMore = tellServiceManager({ environment: process.env, log });

  const signal = await firstSignal();
  log('info', 'agent ends', { signal });
  tellNoMore();
  stopTimers();
  host.stop();
  runner.stop();
  if (signal === 'SIGUSR2') {
    // What is being started now would otherwise run on without a guard.
    const patience = new Promise<void>((resolve) => setTimeout(resolve, settleMs).unref());
    await Promise.race([host.settled(), patience]);
    const left = await endHost({ node: server.node, guard, watchdog: agent.watchdog, keeper });
    if (left > 0) log('error', 'processes of PostgreSQL do not die: the guard stays', { remaining: left });
  }
  keeper.stop();
  control.close();
  rest.close();
  agent.peers.close();
  wakeUp.close();
  server.node.close();
  return 0;
}

interface Agent {
  readonly context: OrderContext;
  readonly guard: Guard;
  readonly watchdog: Watchdog;
  readonly host: DatabaseHost;
  readonly runner: ActionRunner;
  readonly health: HealthWatch;
  readonly peers: PeerLink;
  readonly certificates: CertificateKeeper;
  readonly rotation: SecretRotation;
  readonly listensOn: (restPort: number) => void;
}

/** No guard, no writable PostgreSQL: nothing else would stop it when this agent dies. */
async function ensureGuard({ context, guard }: Agent): Promise<void> {
  const { node } = context.server;
  const found = await guard.ensure().catch(async (error: unknown) => {
    await node.killAll('there is no guard');
    throw error;
  });
  // The former guard died, and its deadline with it: nothing proves that what runs here may be writable.
  if (found === 'started' && !existsSync(join(dataDirectory(context.config), 'standby.signal'))) {
    await node.killAll('its guard died');
  }
}

function startTimers({ context, guard, host, health, certificates, rotation }: Agent): () => void {
  const { keeper, log, server } = context;
  const { node } = server;
  let closely: NodeJS.Timeout | undefined;
  const watch = (): void => {
    clearTimeout(closely);
    const postmaster = server.last()?.postmaster;
    if (postmaster == null) return;
    if (!isProcessAlive(postmaster.pid, postmaster.startTicks)) host.reconcile();
    if (!node.hearsServerEnd()) closely = setTimeout(watch, watchPostmasterMs);
  };
  node.onServerEnd(watch);
  let ticks = 0;
  const ticking = setInterval(() => {
    watch();
    health.tick();
    ticks += 1;
    if (ticks % roundTicks !== 0) return;
    if (!guard.isAlive()) {
      log('error', 'the guard is gone: started anew', {});
      void guard.ensure().then(
        () => keeper.tellGuard(),
        () => node.killAll('there is no guard'),
      );
    }
    host.reconcile();
    void rotation.look();
  }, tickMs);
  const stopCertificates = certificates.start();
  return () => {
    stopCertificates();
    node.onServerEnd(() => undefined);
    clearTimeout(closely);
    clearInterval(ticking);
  };
}

async function assemble(config: DatabaseHostConfig, book: SecretBook): Promise<Agent> {
  const log = createLog({ cluster: config.cluster, node: config.node });
  const writer = { node: config.node, incarnation: randomUUID() };
  const { region, tableName, cluster, node, stateMachineArn, host: address, wakePort } = config;
  const table = { client: createDynamoClient({ region }), tableName, cluster };
  const store = createClusterStore(table);
  const clients = createControlPlaneClients({ aws: createAwsClients({ region }), stateMachineArn, log });
  const transcript = new CommandTranscript(log);
  const tls = () => keeper.view().record?.spec.tls ?? null;
  const server = serverFor(config, book, transcript, () => {
    const mode = tls()?.mode;
    return mode === undefined ? null : mode === 'required';
  });
  const guard = guardFor(config);
  const watchdog = new Watchdog({ path: config.watchdog, mark: watchdogMarkPath(config), log });
  const wakeSignal = new WakeSignal();
  const onWake = () => wakeSignal.fire();
  const onBaton = () => readAfterWake(keeper, node);
  const channel = { host: address, port: wakePort, secret: book.shared, cluster, node };
  const wakeUp = await createWakeUp({ ...channel, onWake, onBaton });
  let lapsing = 0;
  const keeper: LeaseKeeper = new LeaseKeeper({
    store,
    writer,
    now: uptimeMs,
    renewalChange: (lease) => (lapsing === lease.epoch ? null : renewalChange(lease, keeper, server)),
    onHold: (hold) => {
      if (hold !== null) watchdog.proven(hold);
      if (!guard.set(hold) && hold !== null)
        log('error', 'the guard does not listen', { guard: guard.pid() });
    },
    onNotWritable: () => watchdog.notWritable(),
    onBaton: () => wakeUp.wake('lease'),
    onChange: () => host.onLease(),
    failsafe: failsafeChannel(config.cluster, () => ({ peers, keeper, emit: context.emit })),
    log: (message, fields) => log('warn', message, fields),
  });
  const underWay = () => keeper.view().record?.operation != null;
  const directory = new NodeDirectory({ store, wakeUp, self: config.node, now: uptimeMs });
  const certificates = databaseCertificates({ config, table, server, tls, log });
  let restPort = config.restPort;
  const emit = createEmit({ store, log, who: config.node });
  const health = new HealthWatch({
    host: server.node.host,
    lastLook: () => server.last(),
    ttlMs: () => keeper.view().watch.lease?.ttlMs ?? 0,
    mayTouchDisk: () => !host.changesData(),
    onChange: () => host.reconcile(),
    emit,
    now: uptimeMs,
  });
  const context: OrderContext = {
    ...{ config, writer, release: readRelease(log), store, keeper, server },
    names: new SynchronousNames(),
    disk: new DiskState(stateFolder(config)),
    journal: await Journal.read(stateFolder(config), log),
    wakeUp,
    emit,
    health: () => health.health(),
    letLapse: () => {
      lapsing = keeper.view().watch.lease?.epoch ?? 0;
    },
    log,
    clients,
    now: uptimeMs,
    nodes: () => directory.nodes(),
    readNodes: () => directory.read(underWay()),
    directoryRead: () => directory.hasRead(),
    nodesEveryMs: () => directory.everyMs(underWay()),
    reportSoon: () => host.reconcileNow(),
    secretUse: () => rotation.report(),
    setHandingOver: (handingOver) => host.setHandingOver(handingOver),
    clientsWait: (wait) => host.clientsWait(wait),
    restPort: () => restPort,
    certificates,
    nextWake: (timeoutMs) => wakeSignal.next(timeoutMs),
    restartedInPlace: () => host.restartedInPlace(),
  };
  const runner = new ActionRunner({
    store,
    clients,
    keeper,
    node: config.node,
    incarnation: writer.incarnation,
    executors: transcript.of(databaseExecutors(context)),
    readActions: config.actions === 'both',
    now: uptimeMs,
    log,
    mayBegin: () => !host.isBusy(),
    onProgress: () => wakeUp.wake('action'),
  });
  const host: DatabaseHost = new DatabaseHost(context, runner);
  const rotation = rotationOf(context, book);
  const peers = peerLinkOf({ config, keeper, runner, directory, secret: book.shared });
  const listensOn = (port: number): void => {
    restPort = port;
  };
  return { context, guard, watchdog, host, runner, health, peers, certificates, rotation, listensOn };
}

function rotationOf(context: OrderContext, book: SecretBook): SecretRotation {
  const { config, keeper, server, disk, log, now, reportSoon } = context;
  return new SecretRotation({
    ...{ book, log, now, onChange: reportSoon },
    kinds: secretKinds,
    record: () => keeper.view().record,
    fetch: versionReader(config),
    prepare: (kind, version) => prepareSecret(context, book, kind, version),
    mayUse: async (kind, version) => !isLogin(kind) || (await mayUseLogin(context, book, kind, version)),
    mayTake: () => true,
    adopt: async (kind) => {
      if (isLogin(kind)) await server.node.writePasswords();
    },
    epoch: () => disk.facts().dataEpoch,
    isInUse: (kind) => isLoginInUse(context, kind),
  });
}

/** Who passes the lease on, and clients with them, come first. */
function readAfterWake(keeper: LeaseKeeper, node: string): void {
  const { record, watch } = keeper.view();
  if (standsBy(watch.lease, record, node)) keeper.readIn(standByMs);
  else keeper.readNow();
}

function serverFor(
  config: DatabaseHostConfig,
  book: SecretBook,
  transcript: CommandTranscript,
  tlsRequired: () => boolean | null,
): Server {
  const logins = () => [...book.logins('superuser'), ...book.logins('replication')];
  return new Server(postgresFor(config, (report) => transcript.add(report), tlsRequired, logins));
}

function guardFor(config: DatabaseHostConfig): Guard {
  return new Guard({
    script: join(import.meta.dirname, 'guard.sh'),
    fifo: guardFifoPath(config),
    dataDirectory: dataDirectory(config),
    postgresProgram: join(config.postgres.binDir, 'postgres'),
    logFile: guardLogPath(config),
  });
}

/** Members and timeline in the lease follow the record; only the holder says so. */
function renewalChange(lease: Lease, keeper: LeaseKeeper, server: Server) {
  const members = keeper.view().record?.members ?? lease.members;
  const timeline =
    server.last()?.postgres.kind === 'primary' ? server.last()?.observation?.timeline : undefined;
  return {
    ...(members.join() === lease.members.join() ? {} : { members }),
    ...(timeline === undefined || timeline === lease.timeline ? {} : { timeline }),
  };
}

function describe(report: NodeReport | null, keeper: LeaseKeeper): object {
  const { watch, holdStage, failsafe } = keeper.view();
  return {
    state: report?.postgres ?? 'unknown',
    role: report?.role ?? 'none',
    timeline: report?.timeline ?? null,
    server_version: report?.version ?? '',
    xlog: { location: report?.lsn == null ? null : Number(report.lsn) },
    lease: { holder: watch.lease?.holder ?? null, epoch: watch.lease?.epoch ?? null, stage: holdStage },
    failsafe_mode_is_active: failsafe.active,
    detail: report?.detail ?? '',
  };
}

function firstSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT', 'SIGUSR2'] as const) process.once(name, () => resolve(name));
  });
}
