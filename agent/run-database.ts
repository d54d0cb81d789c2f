/**
 * Puts a database host's agent together: every dependency is made here and passed on. Runs until SIGTERM or SIGINT, which
 * end the agent and leave PostgreSQL and the guard running (a restarted agent adopts them); SIGUSR1 ends all of the host,
 * for an orderly shutdown of the machine.
 */

import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createClusterStore, createDynamoClient } from '../adapters/aws/cluster-store.ts';
import { uptimeMs } from '../adapters/clock.ts';
import { isProcessAlive } from '../adapters/process.ts';
import { createWakeUp } from '../adapters/wake-up.ts';
import type { DatabaseHostConfig } from '../core/model/host-config.ts';
import type { Lease } from '../core/model/lease.ts';
import type { NodeReport } from '../core/model/node-report.ts';
import { ActionRunner } from './action-runner.ts';
import { writeAgentFile } from './agent-file.ts';
import { createControlPlaneClients } from './control-plane-clients.ts';
import { listenForControl } from './control-socket.ts';
import { DatabaseHost } from './database/database-host.ts';
import { databaseExecutors } from './database/executors.ts';
import type { OrderContext } from './database/orders.ts';
import { postgresFor } from './database/postgres-for.ts';
import { Server } from './database/server.ts';
import { DiskState } from './disk-state.ts';
import { createEmit, createLog } from './emit.ts';
import { Guard } from './guard.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { controlSocketPath, dataDirectory, guardFifoPath, guardLogPath, stateFolder } from './paths.ts';
import { startRestServer } from './rest-server.ts';
import { WakeSignal } from './wake-signal.ts';

/** A dead postmaster is noticed within this time; reading /proc costs some microseconds. */
const watchPostmasterMs = 50;
/** A round at least this often, whatever happens. */
const roundMs = 500;
const orderlyStopMs = 20_000;

export async function runDatabase(config: DatabaseHostConfig): Promise<number> {
  const log = createLog({ cluster: config.cluster, node: config.node });
  for (const path of [controlSocketPath(config), guardLogPath(config), join(dataDirectory(config))]) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  }
  const writer = { node: config.node, incarnation: randomUUID() };
  const store = createClusterStore({
    client: createDynamoClient({ region: config.region }),
    tableName: config.tableName,
    cluster: config.cluster,
  });
  const emit = createEmit({ store, log, who: config.node });
  const clients = createControlPlaneClients({
    region: config.region,
    stateMachineArn: config.stateMachineArn,
    log,
  });
  const disk = new DiskState(stateFolder(config));
  let said: (line: string) => void = () => undefined;
  const postgres = postgresFor(config, (report) => {
    const line = `${report.argv.join(' ')} -> ${report.exitCode ?? 'killed'} (${Math.round(report.ms)} ms)`;
    log(report.exitCode === 0 ? 'info' : 'warn', 'program ended', {
      command: line,
      stderr: report.stderrTail.slice(-300),
    });
    said(line);
  });
  const server = new Server(postgres);
  const guard = new Guard({
    script: join(import.meta.dirname, 'guard.sh'),
    fifo: guardFifoPath(config),
    dataDirectory: dataDirectory(config),
    postgresProgram: join(config.postgres.binDir, 'postgres'),
    logFile: guardLogPath(config),
  });
  const wakeSignal = new WakeSignal();
  const wakeUp = await createWakeUp({
    host: config.host,
    port: config.wakePort,
    secret: config.secrets.cluster,
    cluster: config.cluster,
    node: config.node,
    onWake: () => {
      wakeSignal.fire();
      keeper.readNow();
    },
  });
  let nodes: readonly NodeReport[] = [];
  let restPort = config.restPort;

  const keeper: LeaseKeeper = new LeaseKeeper({
    store,
    writer,
    now: uptimeMs,
    renewalChange: (lease) => renewalChange(lease, keeper, server),
    onHold: (hold) => {
      if (!guard.set(hold) && hold !== null)
        log('error', 'the guard does not listen', { guard: guard.pid() });
    },
    onBaton: () => wakeUp.wake('lease'),
    onChange: () => host.reconcile(),
    log: (message, fields) => log('warn', message, fields),
  });

  const context: OrderContext = {
    config,
    writer,
    store,
    keeper,
    server,
    disk,
    wakeUp,
    emit,
    log,
    clients,
    now: uptimeMs,
    nodes: () => nodes,
    reportSoon: () => host.reconcile(),
    setHandingOver: (handingOver) => host.setHandingOver(handingOver),
    restPort: () => restPort,
    nextWake: (timeoutMs) => wakeSignal.next(timeoutMs),
    restartedInPlace: () => host.restartedInPlace(),
    readNodes: async () => {
      const [read, proxies] = await Promise.all([
        store.readNodes({ timeoutMs: 1_000 }),
        store.readProxies({ timeoutMs: 1_000 }),
      ]);
      if (read.kind !== 'ok') return;
      nodes = read.value;
      const others = read.value.filter((node) => node.node !== config.node).map((node) => node.addresses);
      const ofProxies = proxies.kind === 'ok' ? proxies.value.map((proxy) => proxy.addresses) : [];
      wakeUp.setPeers(
        [...others, ...ofProxies].map(({ host: peer, wakePort }) => ({ host: peer, port: wakePort })),
      );
    },
  };
  const runner = new ActionRunner({
    store,
    clients,
    keeper,
    node: config.node,
    incarnation: writer.incarnation,
    executors: withTranscript(databaseExecutors(context), (say) => {
      said = say;
    }),
    readActions: config.actions === 'both',
    now: uptimeMs,
    log,
    onProgress: () => wakeUp.wake('action'),
  });
  const host = new DatabaseHost(context, runner);

  await guard.ensure();
  const control = await listenForControl(controlSocketPath(config), {
    runAction: async ({ operation, action }, onLine) => runner.follow(operation, action, onLine),
  });
  const rest = await startRestServer({
    host: config.host,
    port: config.restPort,
    facts: () => host.health(),
    status: () => describe(host.report(), keeper),
  });
  restPort = rest.port;
  writeAgentFile(config, { restPort, wakePort: wakeUp.port });
  log('info', 'agent started', { incarnation: writer.incarnation, rest_port: restPort, guard: guard.pid() });
  keeper.start();

  const watch = setInterval(() => {
    const postmaster = server.last()?.postmaster;
    if (postmaster != null && !isProcessAlive(postmaster.pid, postmaster.startTicks)) host.reconcile();
  }, watchPostmasterMs);
  const rounds = setInterval(() => {
    if (!guard.isAlive()) {
      log('error', 'the guard is gone: started anew', {});
      void guard.ensure().then(() => keeper.tellGuard());
    }
    host.reconcile();
  }, roundMs);

  const signal = await firstSignal();
  log('info', 'agent ends', { signal });
  clearInterval(watch);
  clearInterval(rounds);
  host.stop();
  runner.stop();
  if (signal === 'SIGUSR1') {
    await postgres.stopFast(orderlyStopMs);
    await postgres.killAll('the host shuts down');
    guard.quit();
  }
  keeper.stop();
  control.close();
  rest.close();
  wakeUp.close();
  postgres.close();
  return 0;
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

/** Programs that run during an action show in that action's transcript. */
function withTranscript(
  executors: ReturnType<typeof databaseExecutors>,
  show: (say: (line: string) => void) => void,
): ReturnType<typeof databaseExecutors> {
  const entries = Object.entries(executors).map(([verb, execute]) => [
    verb,
    async (...[action, run]: Parameters<typeof execute>) => {
      show(run.say);
      try {
        return await execute(action, run);
      } finally {
        show(() => undefined);
      }
    },
  ]);
  return Object.fromEntries(entries);
}

function describe(report: NodeReport | null, keeper: LeaseKeeper): object {
  const { watch, holdStage } = keeper.view();
  return {
    state: report?.postgres ?? 'unknown',
    role: report?.role ?? 'none',
    timeline: report?.timeline ?? null,
    server_version: report?.version ?? '',
    xlog: { location: report?.lsn == null ? null : Number(report.lsn) },
    lease: { holder: watch.lease?.holder ?? null, epoch: watch.lease?.epoch ?? null, stage: holdStage },
    detail: report?.detail ?? '',
  };
}

function firstSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT', 'SIGUSR1'] as const) process.once(name, () => resolve(name));
  });
}
