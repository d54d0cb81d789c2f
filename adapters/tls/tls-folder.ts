/**
 * A host's private key and certificate on its disk. The key is made here and never leaves. What is in force is a folder of its own that
 * `current` points to, so that key, certificate and authorities change together, and a crash at any step leaves the old ones or the new
 * ones in force. Read by PostgreSQL and PgBouncer, so all of it is theirs.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostCertificate } from '../../core/model/tls.ts';
import { hostCertificateToItem, parseHostCertificate } from '../../core/wire/parse-tls.ts';
import { newNonce, readTextFile, removeFile, syncFolder, writeFileAtomically } from '../postgres/files.ts';
import type { RunAs } from '../process.ts';

/** Paths that stay the same when a new certificate is put in force. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  /** Whom to trust. */
  readonly authorities: string;
}

export function tlsFilesIn(folder: string): TlsFiles {
  const current = join(folder, 'current');
  return {
    certificate: join(current, 'certificate.pem'),
    key: join(current, 'key.pem'),
    authorities: join(current, 'authorities.pem'),
  };
}

/** A certificate is in force on this host: from the first on there always is one. */
export function hasCertificate(folder: string): boolean {
  return existsSync(tlsFilesIn(folder).certificate);
}

/** What is in force; null: nothing yet. */
export async function readInForce(folder: string): Promise<HostCertificate | null> {
  const text = await readTextFile(join(folder, 'current', 'issued.json'));
  return text === null ? null : parseHostCertificate(JSON.parse(text));
}

export class TlsFolder {
  readonly #folder: string;
  readonly #owner: RunAs | null;

  constructor(folder: string, owner: RunAs | null) {
    this.#folder = folder;
    this.#owner = owner;
  }

  inForce(): Promise<HostCertificate | null> {
    return readInForce(this.#folder);
  }

  /** The public half of the key that waits for its certificate, SubjectPublicKeyInfo in base64; null: none does. */
  async pendingKey(): Promise<string | null> {
    const key = await readTextFile(this.#pending());
    if (key === null) return null;
    const publicKey = publicHalf(key);
    if (publicKey !== (await this.inForce())?.publicKey) return publicKey;
    // The agent ended after it had put the certificate in force.
    await removeFile(this.#pending());
    return null;
  }

  /** Makes a key that waits for its certificate. */
  async makePendingKey(): Promise<string> {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    await mkdir(this.#folder, { recursive: true, mode: 0o755 });
    await writeFileAtomically(this.#pending(), key, { owner: this.#owner });
    return publicHalf(key);
  }

  /** The pending key's signature, in base64. */
  async proof(text: string): Promise<string> {
    const key = await readTextFile(this.#pending());
    if (key === null) throw new Error('there is no pending key');
    return sign('sha256', Buffer.from(text), createPrivateKey(key)).toString('base64');
  }

  /** Puts it in force with the key that it is for. Returns what is wrong with it, or null when it is done. */
  async install(certificate: HostCertificate): Promise<string | null> {
    const key = await this.#keyOf(certificate.publicKey);
    if (key === null) return 'it is for a key that this host does not have';
    const problem = problemOf(certificate, key);
    if (problem !== null) return problem;
    const before = await this.#current();
    const name = `c-${newNonce()}`;
    try {
      await this.#write(name, key, certificate);
    } catch (error) {
      // Tried again each second: on a full disk nothing may pile up. What is in force already stays, synced or not.
      if ((await this.#current()) !== name)
        await rm(join(this.#folder, name), { recursive: true, force: true });
      throw error;
    }
    await this.pendingKey();
    await this.#removeOthers([name, before ?? '']);
    return null;
  }

  /** Writes it whole, then has `current` name it. */
  async #write(name: string, key: string, certificate: HostCertificate): Promise<void> {
    await mkdir(join(this.#folder, name), { mode: 0o755 });
    const put = (file: string, text: string, mode: number): Promise<void> =>
      writeFileAtomically(join(this.#folder, name, file), text, { owner: this.#owner, mode });
    await put('key.pem', key, 0o600);
    await put('certificate.pem', certificate.certificate, 0o644);
    await put('authorities.pem', certificate.authorities, 0o644);
    await put('issued.json', `${JSON.stringify(hostCertificateToItem(certificate))}\n`, 0o644);
    const link = join(this.#folder, 'current.new');
    await rm(link, { force: true });
    await symlink(name, link);
    await rename(link, join(this.#folder, 'current'));
    await syncFolder(this.#folder);
  }

  /** The name of the folder that is in force. */
  async #current(): Promise<string | null> {
    return await readlink(join(this.#folder, 'current')).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
  }

  #pending(): string {
    return join(this.#folder, 'pending.key');
  }

  async #keyOf(publicKey: string): Promise<string | null> {
    for (const path of [this.#pending(), tlsFilesIn(this.#folder).key]) {
      const key = await readTextFile(path);
      if (key !== null && publicHalf(key) === publicKey) return key;
    }
    return null;
  }

  /** The one before stays: a server may be reading it. */
  async #removeOthers(kept: readonly string[]): Promise<void> {
    for (const name of await readdir(this.#folder))
      if (name.startsWith('c-') && !kept.includes(name))
        await rm(join(this.#folder, name), { recursive: true, force: true });
  }
}

/** What came through the table is checked before a server is given it: one that cannot use it would refuse everybody. */
function problemOf(offered: HostCertificate, key: string): string | null {
  try {
    const certificate = new X509Certificate(offered.certificate);
    if (!certificate.checkPrivateKey(createPrivateKey(key))) return 'it is for another key';
    const issuers = certificatesIn(offered.authorities).map((text) => new X509Certificate(text));
    const signed = issuers.some((issuer) => issuer.ca && certificate.verify(issuer.publicKey));
    return signed ? null : 'none of the authorities beside it has signed it';
  } catch (error) {
    return `it cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** The certificates of a bundle, one by one. */
export function certificatesIn(bundle: string): readonly string[] {
  return bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g) ?? [];
}

function publicHalf(key: string): string {
  return createPublicKey(key).export({ format: 'der', type: 'spki' }).toString('base64');
}
