/**
 * Puts a proxy host's agent together. SIGTERM and SIGINT end the agent and leave HAProxy and PgBouncer running, so that a
 * restart of the agent is not noticed by clients; SIGUSR2 ends them too.
 */

import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { createAwsClients } from '../adapters/aws/clients.ts';
import { createClusterStore } from '../adapters/aws/cluster-store.ts';
import { createDynamoClient } from '../adapters/aws/dynamo-client.ts';
import { versionReader } from '../adapters/aws/secrets.ts';
import { uptimeMs } from '../adapters/clock.ts';
import { ProxyEndpoint } from '../adapters/proxy/endpoint.ts';
import { createWakeUp } from '../adapters/wake-up.ts';
import type { ProxyHostConfig } from '../core/model/host-config.ts';
import { primaryTakes } from '../core/secrets/decide-secret-use.ts';
import { ActionRunner } from './action-runner.ts';
import { writeAgentFile } from './agent-file.ts';
import { createControlPlaneClients } from './control-plane-clients.ts';
import { listenForControl } from './control-socket.ts';
import { createEmit, createLog, type Log } from './emit.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { NodeDirectory } from './node-directory.ts';
import { controlFilePath, logFolder, proxyFolder, secretBookPath } from './paths.ts';
import { ProxyCertificates, proxyTls } from './proxy/proxy-certificates.ts';
import { ProxyHost } from './proxy/proxy-host.ts';
import { readRelease } from './release.ts';
import { startRestServer } from './rest-server.ts';
import { SecretBook } from './secret-book.ts';
import { SecretRotation } from './secret-rotation.ts';
import { tellServiceManager } from './service-manager.ts';

const roundMs = 500;
const ensureRunningEveryMs = 1_000;

export async function runProxy(installed: ProxyHostConfig): Promise<number> {
  const book = new SecretBook(secretBookPath(installed), installed);
  return await runWith({ ...installed, secrets: book.secrets }, book);
}

async function runWith(config: ProxyHostConfig, book: SecretBook): Promise<number> {
  const log = createLog({ cluster: config.cluster, node: config.node });
  mkdirSync(dirname(controlFilePath(config)), { recursive: true, mode: 0o755 });
  const writer = { node: config.node, incarnation: randomUUID() };
  const { region, tableName, cluster } = config;
  const table = { client: createDynamoClient({ region }), tableName, cluster };
  const store = createClusterStore(table);
  const emit = createEmit({ store, log, who: config.node });
  const { stateMachineArn } = config;
  const clients = createControlPlaneClients({ aws: createAwsClients({ region }), stateMachineArn, log });
  const opened = await openEndpoint(config, book, log, () => host.pauseExpired());
  const wakeUp = await createWakeUp({
    host: config.host,
    port: config.wakePort,
    secret: book.shared,
    cluster: config.cluster,
    node: config.node,
    onWake: () => undefined,
    onBaton: () => keeper.readNow(),
  });
  let restPort = config.restPort;
  const keeper: LeaseKeeper = new LeaseKeeper({
    store,
    writer,
    now: uptimeMs,
    renewalChange: () => ({}),
    onHold: () => undefined,
    onBaton: () => undefined,
    onChange: () => {
      keeper.setSuspicious(keeper.view().record?.operation != null);
      host.reconcile();
      runner.poke();
    },
    log: (message, fields) => log('warn', message, fields),
  });
  const tls = () => keeper.view().record?.spec.tls ?? null;
  const certificates = new ProxyCertificates({ config, table, endpoint: opened, tls, log });
  const directory = new NodeDirectory({ store, wakeUp, self: config.node, now: uptimeMs });
  const host: ProxyHost = new ProxyHost({
    config,
    ...{ incarnation: writer.incarnation, release: readRelease(log) },
    store,
    keeper,
    endpoint: opened,
    wakeUp,
    directory,
    restPort: () => restPort,
    lacksCertificate: () => certificates.isMissing(),
    secretUse: () => rotation.report(),
    now: uptimeMs,
    emit,
    log,
  });
  const parts = { book, keeper, directory, endpoint: opened, log };
  const rotation: SecretRotation = rotationOf(config, parts, () => host.reconcile());
  const runner: ActionRunner = new ActionRunner({
    store,
    clients,
    keeper,
    node: config.node,
    incarnation: writer.incarnation,
    executors: {
      pause: (action, run) => host.arm(action, run),
      resume: (action, run) => host.settle(action, run),
    },
    readActions: config.actions === 'both',
    now: uptimeMs,
    log,
    mayBegin: () => true,
    onProgress: () => wakeUp.wake('action'),
  });
  const control = await listenForControl(controlFilePath(config), {
    runAction: async ({ operation, action }, onLine) => runner.follow(operation, action, onLine),
  });
  const rest = await startRestServer({
    host: config.host,
    port: config.restPort,
    facts: () => host.health(),
    status: () => host.status(),
  });
  restPort = rest.port;
  await host.adopt();
  writeAgentFile(config, { restPort, wakePort: wakeUp.port });
  log('info', 'agent started', { incarnation: writer.incarnation, rest_port: restPort });
  keeper.start();
  const stopTimers = startTimers({ host, endpoint: opened, certificates, rotation, log });
  const tellNoMore = tellServiceManager({ environment: process.env, log });

  const signal = await firstSignal();
  log('info', 'agent ends', { signal });
  tellNoMore();
  stopTimers();
  runner.stop();
  keeper.stop();
  control.close();
  rest.close();
  wakeUp.close();
  if (signal === 'SIGUSR2') await opened.stop();
  else opened.detach();
  return 0;
}

function startTimers(deps: {
  readonly host: ProxyHost;
  readonly endpoint: ProxyEndpoint;
  readonly certificates: ProxyCertificates;
  readonly rotation: SecretRotation;
  readonly log: Log;
}): () => void {
  const { host, endpoint, certificates, rotation, log } = deps;
  const rounds = setInterval(() => {
    host.reconcile();
    void rotation.look();
  }, roundMs);
  const ensure = setInterval(() => {
    void endpoint.ensureRunning().then((running) => {
      if (running.kind !== 'running') log('error', 'a proxy program does not run', { ...running });
      else if (running.restarted.length > 0)
        log('warn', 'proxy programs restarted', { restarted: running.restarted });
    });
  }, ensureRunningEveryMs);
  const stopCertificates = certificates.start();
  return () => {
    stopCertificates();
    for (const timer of [rounds, ensure]) clearInterval(timer);
  };
}

interface RotationParts {
  readonly book: SecretBook;
  readonly keeper: LeaseKeeper;
  readonly directory: NodeDirectory;
  readonly endpoint: ProxyEndpoint;
  readonly log: Log;
}

function rotationOf(config: ProxyHostConfig, parts: RotationParts, onChange: () => void): SecretRotation {
  const { book, keeper, directory, endpoint, log } = parts;
  return new SecretRotation({
    ...{ book, log, now: uptimeMs, fetch: versionReader(config), onChange },
    kinds: ['superuser', 'cluster'],
    record: () => keeper.view().record,
    mayUse: async () => true,
    // Whatever is in the book PgBouncer lets in, and logs in with: nothing that the primary does not take.
    mayTake: (kind, version) =>
      kind !== 'superuser' || primaryTakes(viewOf(keeper, directory), kind, version),
    prepare: async (kind) => kind !== 'superuser' || (await endpoint.setLogins(loginsOf(book))),
    adopt: async (kind) => {
      if (kind === 'superuser' && !(await endpoint.setLogins(loginsOf(book))))
        throw new Error('PgBouncer did not take its users');
    },
    // What a proxy was told does not depend on who is primary.
    epoch: () => 0,
    isInUse: () => true,
  });
}

function viewOf(keeper: LeaseKeeper, directory: NodeDirectory) {
  const { record, watch } = keeper.view();
  return { record, lease: watch.lease, nodes: directory.nodes() };
}

/** Whom PgBouncer lets in, and as whom the canary logs in. */
function loginsOf(book: SecretBook) {
  const { name, password } = book.secrets.superuser;
  return {
    users: book.logins('superuser').map((login) => ({ name: login.name, secret: login.password })),
    canary: { user: name, password, database: 'postgres' },
  };
}

async function openEndpoint(
  config: ProxyHostConfig,
  book: SecretBook,
  log: Log,
  onPauseExpired: () => void,
): Promise<ProxyEndpoint> {
  const listener = (port: number) => ({ host: config.host, port });
  const opened = await ProxyEndpoint.open({
    programs: { haproxy: config.haproxyBin, pgbouncer: config.pgbouncerBin },
    folder: proxyFolder(config),
    logFolder: logFolder(config),
    runAs: config.runAs,
    listeners: {
      endpoint: listener(config.ports.endpoint),
      primary: listener(config.ports.primary),
      replicas: listener(config.ports.replicas),
    },
    pgbouncer: listener(config.ports.pgbouncer),
    nodes: [],
    ...loginsOf(book),
    poolSize: config.poolSize,
    tls: proxyTls(config),
    onPauseExpired,
    onNotSaved: (detail) => log('error', 'the route could not be written to disk', { detail }),
  });
  if (opened.kind !== 'open') throw new Error(`${opened.kind}: ${opened.detail}`);
  return opened.endpoint;
}

function firstSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT', 'SIGUSR2'] as const) process.once(name, () => resolve(name));
  });
}
