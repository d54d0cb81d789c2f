// Asks a server for a new connection. A stopped or stuck postmaster goes unnoticed by a connection that is kept: its backend
// answers on. The question is PostgreSQL's SSLRequest, whose one byte of an answer comes from a backend that the postmaster has
// just forked, before any authentication, also while it starts up or has no connection to spare.

import { Socket } from 'node:net';
import { readProcessStatus } from '../process.ts';
import type { PostgresHost } from './host.ts';
import type { Postmaster } from './processes.ts';

export type AnswerProbeResult = 'answers' | 'refused' | 'silent' | 'stopped';

/** Length 8, then the code of an SSLRequest (80877103). */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/** `postmaster`: whose state is looked at when no answer comes. `refused`: nobody listens. */
export async function probeAnswer(
  host: Pick<PostgresHost, 'socketDir' | 'port'>,
  postmaster: Pick<Postmaster, 'pid' | 'startTicks'> | null,
  timeoutMs: number,
): Promise<AnswerProbeResult> {
  const answer = await ask(`${host.socketDir}/.s.PGSQL.${host.port}`, timeoutMs);
  if (answer !== 'silent' || postmaster === null) return answer;
  const status = readProcessStatus(postmaster.pid);
  return status?.state === 'T' && status.startTicks === postmaster.startTicks ? 'stopped' : 'silent';
}

function ask(path: string, timeoutMs: number): Promise<Exclude<AnswerProbeResult, 'stopped'>> {
  return new Promise((resolve) => {
    const socket = new Socket();
    const finish = (result: Exclude<AnswerProbeResult, 'stopped'>): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => finish('silent'), timeoutMs);
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A full queue of connections is a postmaster that takes none.
      finish(error.code === 'EAGAIN' ? 'silent' : 'refused');
    });
    socket.once('data', () => finish('answers'));
    // Closed without a word: it was there, and is ending.
    socket.once('end', () => finish('refused'));
    socket.connect(path, () => socket.write(SSL_REQUEST));
  });
}
