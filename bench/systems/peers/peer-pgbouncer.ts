/**
 * PgBouncer before the HAProxy of a peer, so that the peer too has a pooled way in. Its own defaults, but for transaction pooling and the
 * size of a pool, which are Leasehold's; tuned, it tries a failed log-in again as soon as Leasehold's does. Pure.
 */
import { renderUserlist } from '../../../adapters/proxy/pgbouncer-config.ts';
import { login } from './peer-postgres.ts';

/** `server_login_retry`: after one failed log-in nobody is let through for so long. */
export const defaultLoginRetryS = 15;
export const tunedLoginRetryS = 0.05;

export interface PeerPgbouncer {
  readonly port: number;
  readonly haproxyPort: number;
  readonly poolSize: number;
  readonly loginRetryS: number;
  readonly userlistFile: string;
}

export function renderPeerPgbouncer(config: PeerPgbouncer): string {
  return `[databases]
* = host=127.0.0.1 port=${config.haproxyPort}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${config.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${config.userlistFile}
pool_mode = transaction
default_pool_size = ${config.poolSize}
max_client_conn = 1000
server_login_retry = ${config.loginRetryS}
`;
}

export function peerUserlist(): string {
  return renderUserlist([{ name: login.user, secret: login.password }]);
}
