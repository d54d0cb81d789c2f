/**
 * The certificate of a proxy host: its endpoint is without TLS until the first one is there, and routes nowhere meanwhile where TLS is
 * required.
 */
import { type CertificateStore, createCertificateStore } from '../../adapters/aws/certificate-items.ts';
import type { ProxyEndpoint } from '../../adapters/proxy/endpoint.ts';
import { isSame, servedCertificate } from '../../adapters/tls/served-certificate.ts';
import { hasCertificate, type TlsFiles, tlsFilesIn } from '../../adapters/tls/tls-folder.ts';
import type { ProxyHostConfig } from '../../core/model/host-config.ts';
import type { HostCertificate, TlsSpec } from '../../core/model/tls.ts';
import { CertificateKeeper } from '../certificates.ts';
import type { Log } from '../emit.ts';
import { tlsFolder } from '../paths.ts';

export interface ProxyCertificatesDeps {
  readonly config: ProxyHostConfig;
  readonly table: Parameters<typeof createCertificateStore>[0];
  readonly endpoint: Pick<ProxyEndpoint, 'secure' | 'rereadCertificate'>;
  /** Of the record; null while it has not been read. */
  readonly tls: () => TlsSpec | null;
  readonly log: Log;
}

const lookMs = 1_000;

/** What an endpoint is opened with: the files, once this host has had a certificate. */
export function proxyTls(config: ProxyHostConfig): TlsFiles | null {
  const folder = tlsFolder(config);
  return hasCertificate(folder) ? tlsFilesIn(folder) : null;
}

export class ProxyCertificates {
  readonly #deps: ProxyCertificatesDeps;
  readonly #keeper: CertificateKeeper;
  #secured: boolean;

  constructor(deps: ProxyCertificatesDeps, store: CertificateStore = createCertificateStore(deps.table)) {
    this.#deps = deps;
    this.#secured = proxyTls(deps.config) !== null;
    const { config, tls, log } = deps;
    const apply = (inForce: HostCertificate): Promise<boolean> => this.#apply(inForce);
    this.#keeper = new CertificateKeeper({ config, store, tls, wallMs: Date.now, apply, log });
  }

  /** Until the returned function is called. */
  start(): () => void {
    return this.#keeper.start();
  }

  /** TLS is required and the endpoint does not speak it yet. */
  isMissing(): boolean {
    return !this.#secured && this.#deps.tls()?.mode === 'required';
  }

  async #apply({ certificate }: HostCertificate): Promise<boolean> {
    const { config, endpoint, log } = this.#deps;
    if (!this.#secured) {
      const running = await endpoint.secure(tlsFilesIn(tlsFolder(config)));
      this.#secured = running.kind === 'running';
      if (running.kind !== 'running') log('error', 'a proxy program does not run', { ...running });
      return false;
    }
    if (isSame(await servedCertificate(config.host, config.ports.pgbouncer, lookMs), certificate))
      return true;
    await endpoint.rereadCertificate();
    return false;
  }
}
