/** What a cluster of the embedded runtime keeps: ports that stay, ports that move when they are taken, and its command socket. */
import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { clusterFolder } from '../../cli/cluster/cluster-folder.ts';
import {
  type ClusterState,
  isTemporary,
  newClusterState,
  type WantedHost,
  withHosts,
} from '../../local/runtime/cluster-state.ts';
import { openControl, sendControl } from '../../local/runtime/control-server.ts';
import { chooseFreePort, isPortFree } from '../../local/runtime/free-ports.ts';
import { readJsonFile, writeJsonFile } from '../../local/runtime/json-file.ts';

let folder = '';
const servers: Server[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-state-'));
});

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  rmSync(folder, { recursive: true, force: true });
});

const wanted: WantedHost[] = [{ id: 'node1', ports: { postgres: null, rest: null } }];
const none = new Set<string>();

function listen(port: number): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    servers.push(server);
    server.listen({ host: '127.0.0.1', port }, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
}

function fresh(): ClusterState {
  return newClusterState(clusterFolder(folder, 'main'), wanted, null);
}

describe('the ports of a cluster', () => {
  it('stay the same from one start to the next', async () => {
    const first = await withHosts(fresh(), wanted, none);
    const second = await withHosts(first, wanted, none);
    expect(second.hosts).toEqual(first.hosts);
    const ports = Object.values(first.hosts['node1']?.ports ?? {});
    expect(new Set(ports).size).toBe(2);
  });

  it('move when somebody else uses them, and only those', async () => {
    const first = await withHosts(fresh(), wanted, none);
    const before = first.hosts['node1']?.ports ?? {};
    await listen(before['postgres'] ?? 0);
    const after = (await withHosts(first, wanted, none)).hosts['node1']?.ports ?? {};
    expect(after['postgres']).not.toBe(before['postgres']);
    expect(after['rest']).toBe(before['rest']);
  });

  it('stay when it is the host itself that uses them', async () => {
    const first = await withHosts(fresh(), wanted, none);
    await listen(first.hosts['node1']?.ports['postgres'] ?? 0);
    const second = await withHosts(first, wanted, new Set(['node1']));
    expect(second.hosts).toEqual(first.hosts);
  });

  it('that the cluster file fixes are taken as they are, or refused with a name when they are in use', async () => {
    const free = await chooseFreePort(new Set());
    const fixed = (port: number): WantedHost[] => [{ id: 'node1', ports: { postgres: port } }];
    const state = await withHosts(fresh(), fixed(free), none);
    expect(state.hosts['node1']?.ports['postgres']).toBe(free);
    const used = await listen(0);
    await expect(withHosts(fresh(), fixed(used), none)).rejects.toThrow(`port ${used}`);
  });

  it('are never those in use', async () => {
    const used = await listen(0);
    expect(await isPortFree(used, 'tcp')).toBe(false);
    const taken = new Set<number>();
    const ports = await Promise.all(Array.from({ length: 20 }, () => chooseFreePort(taken)));
    expect(new Set(ports).size).toBe(20);
  });
});

describe('the folder of the hosts', () => {
  it("is the cluster's own where PostgreSQL's user can enter it", () => {
    expect(isTemporary(clusterFolder(folder, 'main'), fresh())).toBe(false);
  });

  it('lies elsewhere when its path is too long for a socket', () => {
    const deep = clusterFolder(join(folder, 'x'.repeat(90)), 'main');
    const state = newClusterState(deep, wanted, null);
    expect(isTemporary(deep, state)).toBe(true);
    expect(state.hostsFolder.startsWith(tmpdir())).toBe(true);
    rmSync(state.hostsFolder, { recursive: true });
  });

  it('lies elsewhere when the unprivileged user cannot enter it', (context) => {
    if (process.getuid?.() !== 0) context.skip('needs root, who alone runs PostgreSQL as another user');
    chmodSync(folder, 0o700);
    const closed = clusterFolder(folder, 'main');
    const state = newClusterState(closed, wanted, { uid: 65_534, gid: 65_534 });
    expect(isTemporary(closed, state)).toBe(true);
    expect(statSync(state.hostsFolder).mode & 0o777).toBe(0o711);
    rmSync(state.hostsFolder, { recursive: true });
  });
});

describe('a JSON file', () => {
  it('is readable by its owner alone and null where it is absent', () => {
    const path = join(folder, 'a.json');
    expect(readJsonFile(path)).toBeNull();
    writeJsonFile(path, { a: 1 });
    expect(readJsonFile(path)).toEqual({ a: 1 });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });
});

describe("the runtime's command socket", () => {
  it('carries a command and its answer, and refuses another token', async () => {
    const control = await openControl(folder, 'secret', async (command) => ({ got: command }));
    try {
      const command = { name: 'cut', host: 'node1', detail: 'from aws' };
      expect(await sendControl(folder, 'secret', command)).toEqual({ got: command });
      await expect(sendControl(folder, 'guess', command)).rejects.toThrow('token');
    } finally {
      control?.close();
    }
  });

  it('gives the reason when a command is refused', async () => {
    const control = await openControl(folder, 'secret', async () => {
      throw new Error('there is no host node9');
    });
    try {
      const command = { name: 'kill-host', host: 'node9' };
      await expect(sendControl(folder, 'secret', command)).rejects.toThrow('there is no host node9');
    } finally {
      control?.close();
    }
  });

  it('is the lock on the cluster: a second runtime gets none until the first is gone', async () => {
    const first = await openControl(folder, 'a', async () => null);
    expect(first).not.toBeNull();
    expect(await openControl(folder, 'b', async () => null)).toBeNull();
    await new Promise((resolve) => first?.close(resolve));
    const third = await openControl(folder, 'c', async () => null);
    expect(third).not.toBeNull();
    third?.close();
  });
});
