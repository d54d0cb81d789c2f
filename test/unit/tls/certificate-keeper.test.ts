/** The agent's part: asks once, installs what is signed, tells the server until it serves it, and asks again in time. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CertificateStore } from '../../../adapters/aws/certificate-items.ts';
import { ok } from '../../../adapters/aws/store-answer.ts';
import {
  bundleOf,
  makeAuthority,
  proofHolds,
  signCertificate,
} from '../../../adapters/tls/certificate-maker.ts';
import { CertificateKeeper } from '../../../agent/certificates.ts';
import type { CertificateRequest, HostCertificate, TlsSpec } from '../../../core/model/tls.ts';

const start = Date.now();
const dayMs = 24 * 3_600_000;
const authority = await makeAuthority('main', start, 3650 * dayMs);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-keeper-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function bench(mode: TlsSpec['mode'] = 'required') {
  const requests: CertificateRequest[] = [];
  const applied: string[] = [];
  const said: string[] = [];
  let offered: HostCertificate | null = null;
  let nowMs = start;
  let serves = true;
  let away = false;
  const gone = { kind: 'unreachable', message: '' } as const;
  const store: CertificateStore = {
    putRequest: async (role, request) => {
      if (away) return gone;
      expect(proofHolds('main', role, request)).toBe(true);
      requests.push(request);
      return ok(undefined);
    },
    readRequests: async () => ok([]),
    putCertificate: async () => ok(undefined),
    readCertificates: async () => ok([]),
    readCertificate: async () => (away ? gone : ok(offered)),
  };
  const make = () =>
    new CertificateKeeper({
      config: { cluster: 'main', node: 'node1', role: 'database', folder, runAs: null } as never,
      store,
      tls: () => ({ mode, names: [], lifetimeMs: 30 * dayMs }),
      wallMs: () => nowMs,
      apply: async ({ certificate }) => {
        applied.push(certificate);
        return serves;
      },
      log: (_level, message) => said.push(message),
    });
  return {
    make,
    requests,
    applied,
    said,
    sign: async (request = requests.at(-1)) => {
      if (request === undefined) throw new Error('nobody asked');
      offered = await signCertificate(request, {
        ...{ authority, authorities: bundleOf([authority]), names: ['node1'] },
        ...{ lifetimeMs: 30 * dayMs, nowMs },
      });
    },
    later: (ms: number) => {
      nowMs += ms;
    },
    /** The host's volume goes to another cluster. */
    goElsewhere: (where: TlsSpec['mode']) => {
      mode = where;
      offered = null;
    },
    setServes: (value: boolean) => {
      serves = value;
    },
    setAway: (value: boolean) => {
      away = value;
    },
  };
}

describe('a host', () => {
  test('does nothing where TLS is off', async () => {
    const { make, requests } = bench('off');
    const keeper = make();
    await keeper.tick();
    expect(requests).toEqual([]);
    expect(keeper.isMissing()).toBe(false);
    expect(keeper.trusted()).toBeNull();
  });

  test('asks once for its first certificate, and serves nobody until it has it', async () => {
    const { make, requests, sign, later, applied } = bench();
    const keeper = make();
    expect(keeper.isMissing()).toBe(true);
    for (let second = 0; second < 5; second += 1) {
      await keeper.tick();
      later(1_000);
    }
    expect(requests).toHaveLength(1);
    expect(keeper.isMissing()).toBe(true);
    await sign();
    await keeper.tick();
    expect(keeper.isMissing()).toBe(false);
    expect(keeper.trusted()).toBe(authority.certificate);
    expect(applied).toHaveLength(1);
  });

  test('asks again with the same key after its agent was restarted', async () => {
    const { make, requests, later, sign } = bench();
    await make().tick();
    const restarted = make();
    await restarted.tick();
    expect(requests.map(({ publicKey }) => publicKey)).toEqual([
      requests[0]?.publicKey,
      requests[0]?.publicKey,
    ]);
    await sign();
    later(1_000);
    await restarted.tick();
    expect(restarted.isMissing()).toBe(false);
  });

  test('asks again when the table did not answer', async () => {
    const { make, requests, setAway, later } = bench();
    const keeper = make();
    setAway(true);
    await keeper.tick();
    expect(requests).toEqual([]);
    setAway(false);
    later(1_000);
    await keeper.tick();
    expect(requests).toHaveLength(1);
  });

  test('renews after twenty days of thirty, with another key, and the server is told', async () => {
    const { make, requests, sign, later, applied } = bench();
    const keeper = make();
    await keeper.tick();
    await sign();
    later(1_000);
    await keeper.tick();
    later(19 * dayMs);
    await keeper.tick();
    expect(requests).toHaveLength(1);
    later(dayMs);
    await keeper.tick();
    expect(requests).toHaveLength(2);
    expect(requests[1]?.publicKey).not.toBe(requests[0]?.publicKey);
    await sign();
    later(1_000);
    await keeper.tick();
    expect(new Set(applied).size).toBe(2);
  });

  test('tells the server each second until it serves the certificate, and then no more', async () => {
    const { make, sign, later, applied, setServes } = bench();
    const keeper = make();
    await keeper.tick();
    await sign();
    setServes(false);
    for (let second = 0; second < 3; second += 1) {
      later(1_000);
      await keeper.tick();
    }
    expect(applied).toHaveLength(3);
    setServes(true);
    for (let second = 0; second < 3; second += 1) await keeper.tick();
    expect(applied).toHaveLength(4);
  });

  test("on a former cluster's volume asks at once, and has a certificate of its own with the next look", async () => {
    const { make, requests, sign, later, goElsewhere, applied } = bench();
    const former = make();
    await former.tick();
    await sign();
    later(1_000);
    await former.tick();
    goElsewhere('required');
    const keeper = make();
    await keeper.tick();
    expect(requests).toHaveLength(2);
    await sign();
    later(1_000);
    await keeper.tick();
    expect(new Set(applied).size).toBe(2);
    later(60_000);
    await keeper.tick();
    expect(requests).toHaveLength(2);
  });

  test("on a former cluster's volume, where TLS is off, trusts nobody and has nothing applied", async () => {
    const { make, sign, later, goElsewhere, applied } = bench();
    const former = make();
    await former.tick();
    await sign();
    later(1_000);
    await former.tick();
    goElsewhere('off');
    const keeper = make();
    await keeper.tick();
    expect(keeper.trusted()).toBeNull();
    expect(applied).toHaveLength(1);
  });

  test('whose renewal does not come goes on with what it has, and says so once', async () => {
    const { make, sign, later, said } = bench();
    const keeper = make();
    await keeper.tick();
    await sign();
    later(1_000);
    await keeper.tick();
    for (let day = 0; day < 35; day += 1) {
      later(dayMs);
      await keeper.tick();
    }
    expect(said.filter((message) => message === 'the certificate is not renewed')).toHaveLength(1);
    expect(keeper.isMissing()).toBe(false);
  });
});
