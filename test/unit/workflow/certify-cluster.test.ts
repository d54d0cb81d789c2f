/** One look of who signs certificates at one cluster: authorities are made once, hosts get what the record says, and nobody else's. */
import { createPrivateKey, generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { CertificateStore } from '../../../adapters/aws/certificate-items.ts';
import { ok } from '../../../adapters/aws/store-answer.ts';
import { makeAuthority } from '../../../adapters/tls/certificate-maker.ts';
import {
  type CertifyDeps,
  certifyCluster,
  type KnownAuthorities,
} from '../../../adapters/workflow/certify-cluster.ts';
import type { ClusterEvent } from '../../../core/model/cluster-event.ts';
import {
  type Authority,
  type CertificateRequest,
  type HostCertificate,
  type HostRole,
  proofText,
} from '../../../core/model/tls.ts';
import { authoritiesToSecret, parseAuthorities } from '../../../core/wire/parse-tls.ts';
import { sampleNodeReport, sampleProxyReport, sampleRecord } from '../../support/samples.ts';

const dayMs = 24 * 3_600_000;
const start = Date.UTC(2026, 10, 29);

function requestOf(node: string, role: HostRole, cluster = 'main'): CertificateRequest {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
  const text = proofText(cluster, role, { node, publicKey: key });
  return { node, publicKey: key, proof: sign('sha256', Buffer.from(text), privateKey).toString('base64') };
}

function bench(mode: 'off' | 'required' = 'required') {
  const requests: { role: HostRole; request: CertificateRequest }[] = [];
  const issued = new Map<string, HostCertificate>();
  const said: string[] = [];
  const events: ClusterEvent[] = [];
  let secret: readonly Authority[] | null = null;
  let reads = 0;
  let nowMs = start;
  const certificates: CertificateStore = {
    putRequest: async () => ok(undefined),
    readRequests: async (role) =>
      ok(requests.filter((one) => one.role === role).map(({ request }) => request)),
    putCertificate: async (certificate) => {
      issued.set(certificate.node, certificate);
      return ok(undefined);
    },
    readCertificates: async () => ok([...issued.values()]),
    readCertificate: async (node) => ok(issued.get(node) ?? null),
  };
  const spec = {
    ...sampleRecord.spec,
    tls: { mode, names: ['db.example'], lifetimeMs: 30 * dayMs },
  };
  const deps: CertifyDeps = {
    storeOf: () => ({
      putEvent: async (event) => {
        events.push(event);
        return ok(undefined);
      },
      readHead: async () => ok({ record: { ...sampleRecord, spec }, lease: null }),
      readNodes: async () => ok([{ ...sampleNodeReport, node: 'node1' }]),
      readProxies: async () => ok([{ ...sampleProxyReport, proxy: 'proxy1' }]),
    }),
    certificatesOf: () => certificates,
    authorities: {
      read: async () => {
        reads += 1;
        return ok(secret);
      },
      create: async (_cluster, authorities) => {
        if (secret !== null) return { kind: 'refused' };
        // As it is kept: through the text of the secret.
        secret = parseAuthorities(authoritiesToSecret(authorities));
        return ok(undefined);
      },
      replace: async (_cluster, authorities) => {
        secret = parseAuthorities(authoritiesToSecret(authorities));
        return ok(undefined);
      },
    },
    policy: { lifetimeMs: 1000 * dayMs, makeNextBeforeMs: 300 * dayMs, distributeMs: 90 * dayMs },
    nowMs: () => nowMs,
    log: (_level, message) => said.push(message),
    ...{ who: 'certify', newId: () => '01', time: () => '2026-11-29T00:00:00.000Z' },
  };
  const known: KnownAuthorities = new Map();
  return {
    issued,
    events,
    said,
    known,
    deps,
    ask: (node: string, role: HostRole) => {
      const request = requestOf(node, role);
      requests.push({ role, request });
      return request;
    },
    askWith: (role: HostRole, request: CertificateRequest) => requests.push({ role, request }),
    look: (remembered = known) => certifyCluster(deps, 'main', remembered),
    authorities: () => secret ?? [],
    takeBack: () => requests.splice(0),
    /** Another function makes the next one. */
    add: async () => {
      secret = [await makeAuthority('main', nowMs, 1000 * dayMs), ...(secret ?? [])];
    },
    forget: () => {
      secret = null;
    },
    reads: () => reads,
    later: (days: number) => {
      nowMs += days * dayMs;
    },
  };
}

describe('who signs', () => {
  test('makes the authority, and certificates of it for a node and a proxy, by record and reports', async () => {
    const { ask, look, issued, authorities } = bench();
    ask('node1', 'database');
    ask('proxy1', 'proxy');
    expect((await look()).signed).toEqual(['node1', 'proxy1']);
    expect(authorities()).toHaveLength(1);
    const [authority] = authorities();
    for (const node of ['node1', 'proxy1']) {
      const certificate = new X509Certificate(issued.get(node)?.certificate ?? '');
      expect(certificate.verify(new X509Certificate(authority?.certificate ?? '').publicKey)).toBe(true);
      expect(certificate.checkHost(`${node}.main.leasehold.internal`)).toBeDefined();
      expect(certificate.checkHost('db.example')).toBeDefined();
    }
    expect(issued.get('node1')?.names).toContain(sampleNodeReport.addresses.host);
    // The authority's key is a key, and is in nothing that a host can read.
    expect(createPrivateKey(authority?.privateKey ?? '').asymmetricKeyType).toBe('ec');
    expect(JSON.stringify([...issued.values()])).not.toContain('PRIVATE');
  });

  test('does nothing the second time, without reading the secret again', async () => {
    const { ask, look, reads } = bench();
    ask('node1', 'database');
    await look();
    const before = reads();
    expect((await look()).signed).toEqual([]);
    expect(reads()).toBe(before);
  });

  test('does nothing where TLS is off, or nobody asks', async () => {
    const off = bench('off');
    off.ask('node1', 'database');
    expect((await off.look()).signed).toEqual([]);
    expect(off.authorities()).toEqual([]);
    expect((await bench().look()).signed).toEqual([]);
  });

  test('of two functions at once both sign by the one authority that was stored', async () => {
    const { ask, look, deps, authorities, issued } = bench();
    ask('node1', 'database');
    ask('proxy1', 'proxy');
    await Promise.all([look(new Map()), certifyCluster(deps, 'main', new Map())]);
    expect(authorities()).toHaveLength(1);
    for (const { authority } of issued.values()) expect(authority).toBe(authorities()[0]?.id);
  });

  test("refuses a database host that asks under a proxy's name, and one without the key", async () => {
    const { ask, askWith, look, issued } = bench();
    ask('proxy1', 'database');
    askWith('database', { ...requestOf('node1', 'database'), proof: requestOf('node1', 'database').proof });
    expect(await look()).toMatchObject({ signed: [], refused: ['proxy1', 'node1'] });
    expect(issued.size).toBe(0);
  });

  test('refuses what was signed for another cluster', async () => {
    const { askWith, look } = bench();
    askWith('database', requestOf('node1', 'database', 'orders'));
    expect((await look()).refused).toEqual(['node1']);
  });

  test('gives the next authority to all before it signs, and signs by it when all have had it for long', async () => {
    const { ask, look, later, issued, authorities, events } = bench();
    ask('node1', 'database');
    await look();
    const first = issued.get('node1');
    expect(events).toMatchObject([{ kind: 'authority_made', rule: 'first-authority' }]);
    later(701);
    expect((await look()).signed).toEqual(['node1']);
    expect(authorities()).toHaveLength(2);
    expect(events[1]).toMatchObject({ kind: 'authority_made', rule: 'next-authority' });
    expect(events[1]?.message).toContain('signs from 2029-01-28');
    // The same certificate; only what is to be trusted has grown.
    expect(issued.get('node1')).toMatchObject({
      certificate: first?.certificate,
      authority: first?.authority,
    });
    expect(issued.get('node1')?.authorities).toContain(first?.authorities);
    later(91);
    ask('node1', 'database');
    await look();
    expect(issued.get('node1')?.authority).not.toBe(first?.authority);
  });

  test('signs anew after the authority was thrown away', async () => {
    const { ask, look, forget, issued } = bench();
    ask('node1', 'database');
    await look();
    const first = issued.get('node1');
    forget();
    expect((await look(new Map())).signed).toEqual(['node1']);
    expect(issued.get('node1')?.authority).not.toBe(first?.authority);
    expect(issued.get('node1')?.authorities).not.toContain(first?.authorities);
  });

  test('does not sign by an authority that it remembers, after another function has signed by its successor', async () => {
    const { ask, look, forget, issued } = bench();
    ask('node1', 'database');
    await look();
    forget();
    await look(new Map());
    const anew = issued.get('node1');
    expect((await look()).signed).toEqual([]);
    expect(issued.get('node1')).toEqual(anew);
  });

  test('gives a new host all authorities that are stored, not those that it remembers', async () => {
    const { ask, look, add, issued, authorities } = bench();
    ask('node1', 'database');
    await look();
    await add();
    ask('proxy1', 'proxy');
    // The first was settled by what was remembered, and hears of it with the next look.
    expect((await look()).signed).toEqual(['proxy1']);
    expect((await look()).signed).toEqual(['node1']);
    for (const { certificate } of authorities())
      for (const node of ['node1', 'proxy1']) expect(issued.get(node)?.authorities).toContain(certificate);
    expect((await look()).signed).toEqual([]);
  });

  test('says which members do not renew in time, and of strangers nothing', async () => {
    const { ask, look, later } = bench();
    ask('node1', 'database');
    await look();
    later(24);
    expect((await look()).expiring).toEqual([]);
    later(2);
    expect((await look()).expiring).toEqual(['node1']);
  });

  test('says so too where the request is not there, or cannot be read', async () => {
    const { ask, takeBack, look, later } = bench();
    ask('node1', 'database');
    ask('stranger', 'database');
    await look();
    takeBack();
    later(26);
    expect(await look()).toMatchObject({ signed: [], expiring: ['node1'] });
    ask('proxy1', 'proxy');
    expect(await look()).toMatchObject({ signed: ['proxy1'], expiring: ['node1'] });
  });
});
