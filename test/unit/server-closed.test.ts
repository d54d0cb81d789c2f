/** Which look at the server may disarm the guard: one that found it down or a standby, with nothing that could open it since (H8). */
import { describe, expect, it } from 'vitest';
import type { PostgresNode } from '../../adapters/postgres/postgres-node.ts';
import type { HostContext } from '../../agent/database/host-context.ts';
import { promoteUnderLease, startPrimaryInPlace } from '../../agent/database/primary-work.ts';
import { Server } from '../../agent/database/server.ts';

/** Nothing runs, in a data directory that is not there. */
function aServer(): Server {
  return new Server({
    host: { dataDir: '/nonexistent/leasehold-test' },
    isQuarantined: async () => false,
    findPostmaster: async () => null,
    killAll: async () => ({ remaining: [1], killed: 0, ms: 1 }),
  } as unknown as PostgresNode);
}

/** Work that opens the server; ends when the answer is called. */
function opens(server: Server): () => Promise<void> {
  let end = (): void => undefined;
  const done = server.opens(
    () =>
      new Promise<void>((resolve) => {
        end = resolve;
      }),
  );
  return async () => {
    end();
    await done;
  };
}

describe('the server is known not to be writable', () => {
  it('by a look that found it down, and not before', async () => {
    const server = aServer();
    expect(server.isClosed()).toBe(false);
    await server.look();
    expect(server.isClosed()).toBe(true);
  });

  it('by no look before or during a promotion or a start', async () => {
    const server = aServer();
    await server.look();
    const end = opens(server);
    expect(server.isClosed()).toBe(false);
    await server.look();
    expect(server.isClosed()).toBe(false);
    await end();
    expect(server.isClosed()).toBe(false);
    await server.look();
    expect(server.isClosed()).toBe(true);
  });

  it('by no look that began before a promotion, and ended after it', async () => {
    const server = aServer();
    const looking = server.look();
    await opens(server)();
    await looking;
    expect(server.isClosed()).toBe(false);
  });

  it.each([
    ['promotion', (context: HostContext) => promoteUnderLease(context, () => undefined)],
    ['start in place', startPrimaryInPlace],
  ])('no more from the very beginning of a %s, also of one that fails', async (_, work) => {
    const server = aServer();
    await server.look();
    const keeper = { view: () => ({ watch: { lease: null } }) };
    const working = work({ server, keeper } as unknown as HostContext);
    expect(server.isClosed()).toBe(false);
    expect(await working).toMatchObject({ kind: 'failed' });
    expect(server.isClosed()).toBe(false);
  });

  it('and may have been opened by all work that a look has not followed', async () => {
    const server = aServer();
    await server.look();
    expect(server.mayHaveOpened()).toBe(false);
    const end = opens(server);
    expect(server.mayHaveOpened()).toBe(true);
    await server.look();
    expect(server.mayHaveOpened()).toBe(true);
    await end();
    expect(server.mayHaveOpened()).toBe(true);
    await server.look();
    expect(server.mayHaveOpened()).toBe(false);
  });
});
