/** A host's key and certificate on its disk: what is in force is always whole, and what is of no use is never put in force. */
import { createPrivateKey, createPublicKey, verify, X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bundleOf, makeAuthority, signCertificate } from '../../../adapters/tls/certificate-maker.ts';
import { hasCertificate, TlsFolder, tlsFilesIn } from '../../../adapters/tls/tls-folder.ts';
import { certificateCheck } from '../../../agent/doctor/certificate-check.ts';

const nowMs = Date.now();
const dayMs = 24 * 3_600_000;
const authority = await makeAuthority('main', nowMs, 3650 * dayMs);
const other = await makeAuthority('main', nowMs, 3650 * dayMs);
const signing = {
  authority,
  authorities: bundleOf([other, authority]),
  names: ['node1.main.leasehold.internal'],
  lifetimeMs: 30 * dayMs,
  nowMs,
};

let parent: string;
let path: string;
let folder: TlsFolder;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'leasehold-tls-'));
  path = join(parent, 'tls');
  folder = new TlsFolder(path, null);
});
afterEach(() => rmSync(parent, { recursive: true }));

const signed = async (publicKey: string, change: Partial<typeof signing> = {}) =>
  await signCertificate({ node: 'node1', publicKey, proof: '' }, { ...signing, ...change });

describe('the folder', () => {
  test('has nothing at first', async () => {
    expect(await folder.inForce()).toBeNull();
    expect(await folder.pendingKey()).toBeNull();
    expect(hasCertificate(path)).toBe(false);
  });

  test('keeps the pending key for its owner alone, over a restart, and signs with it', async () => {
    const publicKey = await folder.makePendingKey();
    expect(statSync(join(path, 'pending.key')).mode & 0o777).toBe(0o600);
    const restarted = new TlsFolder(path, null);
    expect(await restarted.pendingKey()).toBe(publicKey);
    const proof = Buffer.from(await restarted.proof('a text'), 'base64');
    const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
    expect(verify('sha256', Buffer.from('a text'), key, proof)).toBe(true);
  });

  test('puts a certificate in force with its key', async () => {
    const certificate = await signed(await folder.makePendingKey());
    expect(await folder.install(certificate)).toBeNull();
    expect(await folder.inForce()).toEqual(certificate);
    expect(await folder.pendingKey()).toBeNull();
    const files = tlsFilesIn(path);
    const key = createPrivateKey(readFileSync(files.key));
    expect(new X509Certificate(readFileSync(files.certificate)).checkPrivateKey(key)).toBe(true);
    expect(readFileSync(files.authorities, 'utf8')).toBe(signing.authorities);
    expect(statSync(files.key).mode & 0o777).toBe(0o600);
    expect(hasCertificate(path)).toBe(true);
  });

  test('goes on with the old one until the next is there, and keeps the last two', async () => {
    for (let round = 0; round < 4; round += 1) {
      const publicKey = await folder.makePendingKey();
      const before = await folder.inForce();
      expect(before === null).toBe(round === 0);
      expect(before?.publicKey).not.toBe(publicKey);
      expect(await folder.install(await signed(publicKey))).toBeNull();
      expect((await folder.inForce())?.publicKey).toBe(publicKey);
    }
    expect(readdirSync(path).filter((name) => name.startsWith('c-'))).toHaveLength(2);
  });

  test('takes the same key signed again', async () => {
    const publicKey = await folder.makePendingKey();
    await folder.install(await signed(publicKey));
    const again = await signed(publicKey, { names: ['db.example'] });
    expect(await folder.install(again)).toBeNull();
    expect(await folder.inForce()).toEqual(again);
  });

  test('refuses what is of no use, and stays as it was', async () => {
    const publicKey = await folder.makePendingKey();
    const good = await signed(publicKey);
    await folder.install(good);
    const stranger = await new TlsFolder(join(parent, 'stranger'), null).makePendingKey();
    const forAnother = await signed(stranger);
    expect(await folder.install(forAnother)).toBe('it is for a key that this host does not have');
    expect(await folder.install({ ...forAnother, publicKey })).toBe('it is for another key');
    expect(await folder.install({ ...good, authorities: other.certificate })).toBe(
      'none of the authorities beside it has signed it',
    );
    expect(await folder.install({ ...good, certificate: 'nonsense' })).toContain('it cannot be read');
    expect(await folder.inForce()).toEqual(good);
  });

  test('in which a certificate cannot be written stays as it was, and nothing piles up', async () => {
    const good = await signed(await folder.makePendingKey());
    await folder.install(good);
    const before = readdirSync(path);
    // A folder where the link is to be: what a full disk does, at the last step.
    mkdirSync(join(path, 'current.new', 'x'), { recursive: true });
    const next = await signed(await folder.makePendingKey());
    for (let round = 0; round < 3; round += 1) await expect(folder.install(next)).rejects.toThrow();
    expect(readdirSync(path).toSorted()).toEqual([...before, 'current.new', 'pending.key'].toSorted());
    expect(await folder.inForce()).toEqual(good);
    rmSync(join(path, 'current.new'), { recursive: true });
    expect(await folder.install(next)).toBeNull();
  });

  test('of an agent that ended right after it had put a certificate in force has no pending key', async () => {
    const publicKey = await folder.makePendingKey();
    const key = readFileSync(join(path, 'pending.key'));
    await folder.install(await signed(publicKey));
    writeFileSync(join(path, 'pending.key'), key);
    expect(await folder.pendingKey()).toBeNull();
    expect(readdirSync(path)).not.toContain('pending.key');
  });

  test('of an agent that ended while it wrote a certificate installs it the second time', async () => {
    const publicKey = await folder.makePendingKey();
    const certificate = await signed(publicKey);
    // What a crash may leave: a folder that is half written, and a link that did not take its place.
    await folder.install(certificate);
    rmSync(join(path, 'current'));
    writeFileSync(join(path, 'current.new'), '');
    expect(await folder.inForce()).toBeNull();
    writeFileSync(join(path, 'pending.key'), readFileSync(join(path, lastFolder(), 'key.pem')));
    expect(await folder.install(certificate)).toBeNull();
    expect(await folder.inForce()).toEqual(certificate);
  });
});

const lastFolder = () => readdirSync(path).find((name) => name.startsWith('c-')) ?? '';

describe('the doctor', () => {
  const config = (required: boolean) => ({
    config: { role: 'database', folder: parent, host: '127.0.0.1', postgres: { port: 1 } } as never,
    store: {
      readHead: async () =>
        ({
          kind: 'ok',
          value: { record: { spec: { tls: { mode: required ? 'required' : 'off' } } } },
        }) as never,
    },
  });
  const finding = async (required: boolean, atMs: number) =>
    await certificateCheck({ ...config(required), nowMs: () => atMs }).look();

  test('says what is missing where TLS is required, and nothing where it is not', async () => {
    expect(await finding(false, nowMs)).toMatchObject({ state: 'skipped', found: 'TLS is not required' });
    expect(await finding(true, nowMs)).toMatchObject({ state: 'failed' });
  });

  test('warns before the certificate expires, and fails when it has', async () => {
    await folder.install(await signed(await folder.makePendingKey()));
    const state = async (days: number) => (await finding(true, nowMs + days * dayMs)).state;
    expect([await state(0), await state(20), await state(26), await state(31)]).toEqual([
      ...['ok', 'ok', 'warning', 'failed'],
    ]);
    expect((await finding(true, nowMs + 31 * dayMs)).advice).toContain('certificates-failing.md');
  });
});
