/**
 * Chooses TCP and UDP ports on the loopback address that are free now and likely to stay so: below the range from which the
 * kernel takes the ports of outgoing connections, or a server that restarts could find its port taken by a client.
 */

import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

export type Protocol = 'tcp' | 'udp';

const lowestPort = 15_000;
const maxAttempts = 2_000;

/** Whether a server could listen on that port of 127.0.0.1 now. */
export function isPortFree(port: number, protocol: Protocol): Promise<boolean> {
  return protocol === 'tcp' ? canListen(port) : canBind(port);
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

function canBind(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', () => {
      socket.close();
      resolve(false);
    });
    socket.bind({ address: '127.0.0.1', port, exclusive: true }, () => socket.close(() => resolve(true)));
  });
}

/** A port that is free for both protocols and not in `taken`, to which it is added. */
export async function chooseFreePort(taken: Set<number>): Promise<number> {
  const end = firstEphemeralPort();
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    const port = randomInt(Math.min(lowestPort, end - 5_000), end);
    if (taken.has(port)) continue;
    taken.add(port);
    if ((await isPortFree(port, 'tcp')) && (await isPortFree(port, 'udp'))) return port;
  }
  throw new Error('no free port was found on 127.0.0.1');
}

function firstEphemeralPort(): number {
  try {
    const first = Number(
      readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/)[0],
    );
    return Number.isInteger(first) && first > 10_000 ? first : 32_768;
  } catch {
    return 32_768;
  }
}
