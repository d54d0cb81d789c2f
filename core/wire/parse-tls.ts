/**
 * TLS from outside: what the cluster file and the record say, a host's request, the certificate it is given, the secret that holds a
 * cluster's authorities. Names go into certificates and configuration as they are, so only names and addresses pass.
 */
import type { Authority, CertificateRequest, HostCertificate, TlsSpec } from '../model/tls.ts';
import { defaultTls } from '../model/tls.ts';
import {
  InvalidInput,
  pathOf,
  type Reader,
  readInteger,
  readKnownFields,
  readList,
  readNonEmpty,
  readOneOf,
  readOptional,
} from './fields.ts';
import {
  type Codec,
  type Item,
  id,
  itemShape,
  listOf,
  nonEmpty,
  oneOf,
  plain,
  positive,
  withDefault,
} from './item-shape.ts';

export const tlsModes: readonly TlsSpec['mode'][] = ['off', 'required'];
export const mostTlsNames = 20;
/** Shorter, and the minute between two looks of the control plane would not do; the embedded one looks every two seconds. */
export const leastLifetimeMs = 20_000;
/** Longer is what renewal is for. */
export const mostLifetimeMs = 90 * 24 * 3_600_000;

const dnsName =
  /^(?=.{1,253}$)(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;
const ipv4 = /^(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])(\.(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])){3}$/;
const onlyDigits = /^[0-9.]+$/;

/** What may stand in a certificate as an address, rather than as a name. */
export function isAddress(name: string): boolean {
  return ipv4.test(name) || name.includes(':');
}

const readName: Reader<string> = (value, field) => {
  // AWS writes the names of load balancers with capitals; names are compared without them.
  const name = readNonEmpty(value, field).toLowerCase();
  const takes = 'a DNS name, with *. before it or not, or an IPv4 address';
  if (!ipv4.test(name) && (!dnsName.test(name) || onlyDigits.test(name))) {
    throw new InvalidInput(field, name, takes);
  }
  return name;
};

const readNames: Reader<readonly string[]> = (value, field) => {
  const names = readList(value, field, readName);
  if (names.length > mostTlsNames)
    throw new InvalidInput(field, `${names.length} of them`, `0 to ${mostTlsNames}`);
  return names;
};

const readLifetime: Reader<number> = (value, field) =>
  readInteger(value, field, leastLifetimeMs, mostLifetimeMs);

/** As in the cluster file. */
export const readTls: Reader<TlsSpec> = (value, field) => {
  const tls = readKnownFields(value, field, ['mode', 'names', 'lifetimeMs']);
  return {
    mode: readOneOf(tls['mode'], pathOf(field, 'mode'), tlsModes),
    names: readOptional(tls['names'], pathOf(field, 'names'), readNames, defaultTls.names),
    lifetimeMs: readOptional(
      tls['lifetimeMs'],
      pathOf(field, 'lifetimeMs'),
      readLifetime,
      defaultTls.lifetimeMs,
    ),
  };
};

/** As in the record; an older one has none. */
export const tlsSpec: Codec<TlsSpec> = withDefault(
  itemShape<TlsSpec>({
    mode: oneOf(tlsModes),
    names: listOf(plain(readName)),
    lifetimeMs: plain(readLifetime),
  }),
  defaultTls,
);

/** The SubjectPublicKeyInfo of P-256 and a signature are far shorter: a request is no place to keep things. */
const shortBase64 = plain<string>((value, field) => {
  const text = readNonEmpty(value, field);
  if (!/^[A-Za-z0-9+/]{16,340}={0,2}$/.test(text))
    throw new InvalidInput(field, '(hidden)', 'a few bytes in base64');
  return text;
});

const requestShape = itemShape<CertificateRequest>({ node: id, publicKey: shortBase64, proof: shortBase64 });

const certificateShape = itemShape<HostCertificate>({
  node: id,
  publicKey: shortBase64,
  names: listOf(nonEmpty),
  certificate: nonEmpty,
  authority: nonEmpty,
  authorities: nonEmpty,
  issuedAtMs: positive,
  expiresAtMs: positive,
});

/** Throws InvalidInput, naming the attribute as `certificate_request.<attribute>`. */
export function parseCertificateRequest(item: unknown): CertificateRequest {
  return requestShape.read(item, 'certificate_request');
}

export function certificateRequestToItem(request: CertificateRequest): Item {
  return requestShape.write(request);
}

/** Throws InvalidInput, naming the attribute as `certificate.<attribute>`. */
export function parseHostCertificate(item: unknown): HostCertificate {
  return certificateShape.read(item, 'certificate');
}

export function hostCertificateToItem(certificate: HostCertificate): Item {
  return certificateShape.write(certificate);
}

const authoritiesShape = itemShape<{ readonly authorities: readonly Authority[] }>({
  authorities: listOf(
    itemShape<Authority>({
      id: nonEmpty,
      certificate: nonEmpty,
      privateKey: plain((value, field) => {
        // Never in an error.
        if (typeof value !== 'string' || value === '')
          throw new InvalidInput(field, '(hidden)', 'a private key');
        return value;
      }),
      madeAtMs: positive,
      expiresAtMs: positive,
    }),
  ),
});

/** The text of a cluster's authority secret. Throws InvalidInput, which never has any of it. */
export function parseAuthorities(secret: string): readonly Authority[] {
  return authoritiesShape.read(parseJson(secret), 'authority_secret').authorities;
}

export function authoritiesToSecret(authorities: readonly Authority[]): string {
  return JSON.stringify(authoritiesShape.write({ authorities }));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidInput('authority_secret', '(hidden)', 'JSON with "authorities"');
  }
}
