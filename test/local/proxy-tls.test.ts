/** A proxy's first certificate, its renewal, and a restart of its agent in between: real HAProxy and PgBouncer, and no database. */
import { chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ProxyEndpoint } from '../../adapters/proxy/endpoint.ts';
import type { EndpointOptions } from '../../adapters/proxy/endpoint-options.ts';
import { findProxyPrograms } from '../../adapters/proxy/find-programs.ts';
import { bundleOf, makeAuthority, signCertificate } from '../../adapters/tls/certificate-maker.ts';
import { isSame, servedCertificate } from '../../adapters/tls/served-certificate.ts';
import { TlsFolder, tlsFilesIn } from '../../adapters/tls/tls-folder.ts';
import { chooseFreePort } from '../../local/runtime/free-ports.ts';
import { unprivilegedUser } from '../../local/runtime/unprivileged-user.ts';

const authority = await makeAuthority('main', Date.now(), 3_600_000);
const runAs = unprivilegedUser();

let parent: string;
let options: EndpointOptions;
let endpoint: ProxyEndpoint;
beforeEach(async () => {
  parent = mkdtempSync(join(tmpdir(), 'leasehold-ptls-'));
  if (runAs !== null) chownSync(parent, runAs.uid, runAs.gid);
  mkdirSync(join(parent, 'tls'));
  const programs = await findProxyPrograms();
  if (programs.kind !== 'found') throw new Error(programs.detail);
  const taken = new Set<number>();
  const listener = async () => {
    const port = await chooseFreePort(taken);
    taken.add(port);
    return { host: '127.0.0.1', port };
  };
  options = {
    programs: { haproxy: programs.haproxy.path, pgbouncer: programs.pgbouncer.path },
    folder: join(parent, 'proxy'),
    logFolder: join(parent, 'log'),
    runAs,
    listeners: { endpoint: await listener(), primary: await listener(), replicas: await listener() },
    pgbouncer: await listener(),
    nodes: [],
    users: [{ name: 'postgres', secret: 'secret' }],
    canary: null,
    poolSize: 2,
  };
  endpoint = await open(options);
});
afterEach(async () => {
  await endpoint.stop();
  rmSync(parent, { recursive: true });
});

async function open(wanted: EndpointOptions): Promise<ProxyEndpoint> {
  const opened = await ProxyEndpoint.open(wanted);
  if (opened.kind !== 'open') throw new Error(`${opened.kind}: ${opened.detail}`);
  return opened.endpoint;
}

/** A new certificate in force; its PEM. */
async function certify(): Promise<string> {
  const folder = new TlsFolder(join(parent, 'tls'), runAs);
  const request = { node: 'proxy1', publicKey: await folder.makePendingKey(), proof: '' };
  const signed = await signCertificate(request, {
    ...{ authority, authorities: bundleOf([authority]), names: ['proxy1'] },
    ...{ lifetimeMs: 600_000, nowMs: Date.now() },
  });
  expect(await folder.install(signed)).toBeNull();
  return signed.certificate;
}

/** What a client is shown, through HAProxy and past it. */
const shown = async () => {
  const doors = [options.listeners.endpoint, options.pgbouncer];
  return await Promise.all(doors.map(({ host, port }) => servedCertificate(host, port, 2_000)));
};
const files = () => tlsFilesIn(join(parent, 'tls'));

test('an endpoint has no TLS until it is secured, and reads a new certificate when it is told', async () => {
  expect(await shown()).toEqual([null, null]);
  const first = await certify();
  expect(await endpoint.secure(files())).toMatchObject({ kind: 'running' });
  for (const served of await shown()) expect(isSame(served, first)).toBe(true);
  const { haproxy, pgbouncer } = endpoint.pids();
  const second = await certify();
  expect(await endpoint.rereadCertificate()).toBe(true);
  for (const served of await shown()) expect(isSame(served, second)).toBe(true);
  expect(endpoint.pids()).toEqual({ haproxy, pgbouncer });
});

test('an agent that ended between its certificate and TLS leaves no door open to its successor', async () => {
  const certificate = await certify();
  const before = endpoint.pids();
  endpoint.detach();
  endpoint = await open({ ...options, tls: files() });
  for (const served of await shown()) expect(isSame(served, certificate)).toBe(true);
  expect(endpoint.pids().haproxy).not.toBe(before.haproxy);
  // The next restart finds everything as it should be, and nobody is disconnected.
  const secured = endpoint.pids();
  endpoint.detach();
  endpoint = await open({ ...options, tls: files() });
  expect(endpoint.pids()).toEqual(secured);
});
