/** The ports of a cluster's hosts on AWS. */
import { InvalidInput, readInteger } from '../core/wire/fields.ts';

export interface ClusterPorts {
  /** PostgreSQL, on database hosts. */
  readonly postgres: number;
  /** The agent's health checks and peer channel (TCP), on every host. */
  readonly rest: number;
  /** The agents' wake-up datagrams (UDP), on every host. */
  readonly wake: number;
  /** Where clients reach the primary, on proxies and the load balancer: HAProxy, then PgBouncer. */
  readonly endpoint: number;
  /** Where clients reach the standbys, on proxies and the load balancer. */
  readonly replicas: number;
  /** The primary without pooling, on proxies; no security group opens it. */
  readonly primary: number;
  /** PgBouncer itself, on proxies; no security group opens it. */
  readonly pgbouncer: number;
}

export const defaultPorts: ClusterPorts = {
  postgres: 5432,
  rest: 8008,
  wake: 8009,
  endpoint: 5432,
  replicas: 5433,
  primary: 5434,
  pgbouncer: 6432,
};

/** The defaults with `given` put over them. Throws InvalidInput when one is no port, or two of one host are the same. */
export function clusterPorts(given: Partial<ClusterPorts> = {}): ClusterPorts {
  const ports = { ...defaultPorts, ...given };
  for (const [name, port] of Object.entries(ports)) readInteger(port, `ports.${name}`, 1, 65_535);
  // The wake-up port is the only one of UDP.
  const { postgres, rest, endpoint, replicas, primary, pgbouncer } = ports;
  for (const ofHost of [
    { postgres, rest },
    { rest, endpoint, replicas, primary, pgbouncer },
  ]) {
    if (new Set(Object.values(ofHost)).size !== Object.keys(ofHost).length)
      throw new InvalidInput('ports', ofHost, 'a port of its own for each listener of a host');
  }
  return ports;
}
