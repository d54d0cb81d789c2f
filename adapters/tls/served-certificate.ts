/**
 * Which certificate a PostgreSQL or PgBouncer serves now, seen as a client sees it: the request for TLS, the handshake, and no login. How
 * an agent knows that a reload has come into force.
 */
import { X509Certificate } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** SSLRequest of PostgreSQL's protocol. */
const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/** PEM text compared by its content; null: nobody answers, or not with TLS, within `timeoutMs`. */
export async function servedCertificate(
  host: string,
  port: number,
  timeoutMs: number,
): Promise<X509Certificate | null> {
  const socket = connect({ host, port });
  try {
    return await within(timeoutMs, async () => {
      if (!(await agreesToTls(socket))) return null;
      return await peerCertificate(socket);
    });
  } catch {
    return null;
  } finally {
    socket.destroy();
  }
}

/** Whether the two are the same certificate. */
export function isSame(served: X509Certificate | null, pem: string): boolean {
  return served !== null && served.fingerprint256 === new X509Certificate(pem).fingerprint256;
}

function agreesToTls(socket: Socket): Promise<boolean> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', () => resolve(false));
    socket.once('connect', () => socket.write(sslRequest));
    socket.once('data', (data) => {
      socket.removeAllListeners('close');
      resolve(data.toString('latin1') === 'S');
    });
  });
}

function peerCertificate(socket: Socket): Promise<X509Certificate | null> {
  return new Promise((resolve, reject) => {
    // Who it is, is the question: it is compared, not trusted.
    const secure = connectTls({ socket, rejectUnauthorized: false });
    secure.once('error', reject);
    secure.once('close', () => resolve(null));
    secure.once('secureConnect', () => resolve(secure.getPeerX509Certificate() ?? null));
  });
}

async function within<T>(timeoutMs: number, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), timeoutMs);
  });
  return await Promise.race([work(), late]).finally(() => clearTimeout(timer));
}
