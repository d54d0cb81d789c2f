/**
 * Keeps this host's certificate: asks for one when there is none or two thirds of its life are over, puts in force what the control plane
 * signed, and sees to it that the server really serves it. Decides by `core/tls/decide-certificate.ts`. Nothing here can stop a server,
 * and nobody waits for it but a host that has never had a certificate.
 */
import type { CertificateStore } from '../adapters/aws/certificate-items.ts';
import { TlsFolder } from '../adapters/tls/tls-folder.ts';
import type { HostConfig } from '../core/model/host-config.ts';
import { type HostCertificate, proofText, type TlsSpec } from '../core/model/tls.ts';
import { decideHostCertificate, expiryState, lookEveryMs } from '../core/tls/decide-certificate.ts';
import type { Log } from './emit.ts';
import { errorText } from './error-text.ts';
import { tlsFolder } from './paths.ts';

export interface CertificateKeeperDeps {
  readonly config: HostConfig;
  readonly store: CertificateStore;
  /** Of the record; null while it has not been read. */
  readonly tls: () => TlsSpec | null;
  /** Milliseconds since 1970: certificates are bound to the wall clock. */
  readonly wallMs: () => number;
  /** Has the server read what is in force; false: it does not serve it yet, and is told again. */
  readonly apply: (inForce: HostCertificate) => Promise<boolean>;
  readonly log: Log;
}

const tickMs = 1_000;
const storeTimeoutMs = 2_000;

export class CertificateKeeper {
  readonly #deps: CertificateKeeperDeps;
  readonly #folder: TlsFolder;
  /** What is on the disk is read once, and then known: a frozen disk must not be asked each second. */
  #installed: HostCertificate | null = null;
  #pendingKey: string | null = null;
  #read = false;
  #asked = false;
  #applied = false;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #working = false;
  #said = '';

  constructor(deps: CertificateKeeperDeps) {
    this.#deps = deps;
    this.#folder = new TlsFolder(tlsFolder(deps.config), deps.config.runAs);
  }

  /** PEM of the authorities that this host trusts; null: none yet, or TLS is off. */
  trusted(): string | null {
    // The volume may bring those of a former cluster.
    return this.#deps.tls()?.mode === 'off' ? null : (this.#installed?.authorities ?? null);
  }

  /** TLS is required and this host has never had a certificate: nothing can be served. */
  isMissing(): boolean {
    return this.#installed === null && this.#deps.tls()?.mode === 'required';
  }

  /** Until the returned function is called. */
  start(): () => void {
    void this.tick();
    const timer = setInterval(() => void this.tick(), tickMs);
    return () => clearInterval(timer);
  }

  /** One look. Never rejects, never overlaps another. */
  async tick(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    try {
      await this.#look();
    } catch (error) {
      this.#say('error', 'certificate trouble', { error: errorText(error) });
    } finally {
      this.#working = false;
    }
  }

  async #look(): Promise<void> {
    const { store, config, tls, wallMs } = this.#deps;
    const mode = tls()?.mode ?? 'unknown';
    if (!this.#read) await this.#readDisk();
    const installed = this.#installed;
    if (installed !== null && !this.#applied && mode !== 'off')
      this.#applied = await this.#deps.apply(installed);
    if (mode !== 'required') return;
    const pendingKey = this.#pendingKey;
    const nowMs = wallMs();
    // A clock that was set back must not keep it from looking.
    const since = Math.abs(nowMs - this.#lookedMs);
    if (since < lookEveryMs(installed, pendingKey !== null) - tickMs / 2) return;
    const offered = await store.readCertificate(config.node, { timeoutMs: storeTimeoutMs });
    if (offered.kind !== 'ok') {
      this.#say('warn', 'certificates cannot be read', { error_kind: offered.kind });
      return;
    }
    this.#lookedMs = nowMs;
    const state = { mode, installed, pendingKey, asked: this.#asked, offered: offered.value, nowMs } as const;
    const { rule, action } = decideHostCertificate(state);
    if (action === 'ask') await this.#ask(rule, pendingKey);
    if (action === 'install' && offered.value !== null) await this.#install(rule, offered.value);
    if (installed !== null && expiryState(installed, nowMs) !== 'ok')
      this.#say('error', 'the certificate is not renewed', { expires_at_ms: installed.expiresAtMs });
  }

  async #readDisk(): Promise<void> {
    this.#installed = await this.#folder.inForce();
    this.#pendingKey = await this.#folder.pendingKey();
    this.#read = true;
  }

  async #ask(rule: string, pendingKey: string | null): Promise<void> {
    const { config, store, log } = this.#deps;
    const publicKey = pendingKey ?? (await this.#folder.makePendingKey());
    this.#pendingKey = publicKey;
    const { cluster, node, role } = config;
    const proof = await this.#folder.proof(proofText(cluster, role, { node, publicKey }));
    const put = await store.putRequest(role, { node, publicKey, proof }, { timeoutMs: storeTimeoutMs });
    this.#asked = put.kind === 'ok';
    if (this.#asked) log('info', 'certificate asked for', { rule });
    else this.#say('warn', 'a certificate cannot be asked for', { rule, error_kind: put.kind });
  }

  async #install(rule: string, offered: HostCertificate): Promise<void> {
    const problem = await this.#folder.install(offered);
    if (problem !== null) {
      this.#say('error', 'the certificate that was signed is of no use', { rule, problem });
      return;
    }
    await this.#readDisk();
    this.#asked = false;
    this.#said = '';
    this.#deps.log('info', 'certificate in force', { rule, expires_at_ms: offered.expiresAtMs });
    this.#applied = await this.#deps.apply(offered);
  }

  /** Once, not each second. */
  #say(level: 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>): void {
    if (this.#said === message) return;
    this.#said = message;
    this.#deps.log(level, message, fields);
  }
}
