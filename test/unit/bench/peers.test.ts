/** What the peers are told and how their answers are read: a comparison is only fair where nobody is set up worse than Leasehold is. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { identityText } from '../../../adapters/postgres/configuration.ts';
import { createPostgresHost } from '../../../adapters/postgres/host.ts';
import { patroni } from '../../../bench/systems/patroni.ts';
import {
  clusterProblem,
  patroniDefaults,
  patroniTuned,
  renderPatroni,
} from '../../../bench/systems/peers/patroni-config.ts';
import { viewProblem } from '../../../bench/systems/peers/peer-cluster.ts';
import {
  queryMessage,
  renderPeerHaproxy,
  shippedCheckTimes,
  startupMessage,
  tunedCheckTimes,
} from '../../../bench/systems/peers/peer-haproxy.ts';
import { defaultLoginRetryS, renderPeerPgbouncer } from '../../../bench/systems/peers/peer-pgbouncer.ts';
import { peerSettings } from '../../../bench/systems/peers/peer-postgres.ts';
import { missingOf, serverFolders } from '../../../bench/systems/peers/peer-programs.ts';
import {
  accessRules,
  monitorProblem,
  monitorSettings,
  nodeSettings,
  pgafDefaults,
  pgafTuned,
  replicationOf,
} from '../../../bench/systems/peers/pgaf-config.ts';
import { pgAutoFailover } from '../../../bench/systems/pg-auto-failover.ts';

/** Setting to value; the last one counts, as PostgreSQL reads a file. */
const settingsIn = (text: string) =>
  Object.fromEntries(
    [...text.matchAll(/^(\S+) = '(.*)'$/gm)].map(([, name = '', value = '']) => [name, value]),
  );

const leaseholdsOwn = settingsIn(
  identityText(
    createPostgresHost({
      nodeName: 'node1',
      binDir: '/usr/lib/postgresql/15/bin',
      dataDir: join(tmpdir(), 'data'),
      port: 5432,
      listenAddresses: '127.0.0.1',
      socketDir: tmpdir(),
      runAs: null,
      superuser: { name: 'postgres', password: 'one' },
      replication: { name: 'replicator', password: 'two' },
      logFile: join(tmpdir(), 'log'),
    }),
  ),
);

describe("PostgreSQL's settings", () => {
  it("are Leasehold's on every peer, but for what names a node", () => {
    const { listen_addresses, port, unix_socket_directories, cluster_name, ...shared } = leaseholdsOwn;
    expect([listen_addresses, port, unix_socket_directories, cluster_name]).not.toContain(undefined);
    expect(peerSettings).toEqual(shared);
  });

  it("override what pg_auto_failover computes from the machine's memory", () => {
    const settings = settingsIn(nodeSettings('/sockets'));
    expect(settings).toMatchObject({ ...peerSettings, unix_socket_directories: '/sockets' });
    // What initdb writes, and PostgreSQL's own defaults.
    expect(settings).toMatchObject({ shared_buffers: '128MB', work_mem: '4MB', track_functions: 'none' });
  });
});

describe("Patroni's configuration", () => {
  const node = {
    id: 'node1',
    port: 20_001,
    restPort: 20_002,
    dataDir: '/peer/node1/data',
    binDir: '/usr/lib/postgresql/15/bin',
    etcdPort: 20_003,
    passwordFile: '/peer/node1/pgpass',
    socketFolder: '/peer/node1',
  };
  const rendered = (...[times, mode]: [Parameters<typeof renderPatroni>[1], 'off' | 'on' | 'strict']) =>
    JSON.parse(renderPatroni(node, times, mode)) as {
      bootstrap: { dcs: Record<string, unknown> };
      postgresql: Record<string, unknown>;
    };

  it('has the times of its documentation, or shorter ones', () => {
    expect(rendered(patroniDefaults, 'off').bootstrap.dcs).toMatchObject({
      ttl: 30,
      loop_wait: 10,
      retry_timeout: 10,
      failsafe_mode: false,
    });
    const { ttl, loopWait, retryTimeout } = patroniTuned;
    expect(loopWait + 2 * retryTimeout).toBeLessThanOrEqual(ttl);
  });

  it.each([
    ['off', false, false],
    ['on', true, false],
    ['strict', true, true],
  ] as const)('in mode %s is synchronous %s and strictly so %s', (mode, synchronous, strict) => {
    expect(rendered(patroniDefaults, mode).bootstrap.dcs).toMatchObject({
      synchronous_mode: synchronous,
      synchronous_mode_strict: strict,
    });
  });

  it("gives each node its own ports and folders, and Leasehold's settings", () => {
    const { bootstrap, postgresql } = rendered(patroniDefaults, 'off');
    expect(postgresql).toMatchObject({ listen: '127.0.0.1:20001', data_dir: '/peer/node1/data' });
    expect(bootstrap.dcs).toMatchObject({ postgresql: { use_pg_rewind: true, parameters: peerSettings } });
  });
});

describe("Patroni's members", () => {
  const members = [
    { name: 'node1', role: 'leader', state: 'running' },
    { name: 'node2', role: 'replica', state: 'running' },
    { name: 'node3', role: 'sync_standby', state: 'streaming' },
  ];

  it('are whole with one leader and everybody running', () => {
    expect(clusterProblem({ members }, 3, true)).toBeNull();
  });

  it.each([
    ['one is missing', { members: members.slice(1) }, 'Patroni knows 2 of 3 members'],
    [
      'nobody leads',
      { members: members.map((member) => ({ ...member, role: 'replica' })) },
      'Patroni knows 0 leaders',
    ],
    [
      'one does not run',
      { members: members.map((member, at) => (at === 1 ? { ...member, state: 'start failed' } : member)) },
      'Patroni calls node2 start failed',
    ],
    ['the answer is something else', 'Bad Gateway', 'Patroni answers with something else than its members'],
    [
      'a member lacks its role',
      { members: [{ name: 'node1', state: 'running' }] },
      'Patroni answers with something else than its members',
    ],
  ])('are not when %s', (_, answer, problem) => {
    expect(clusterProblem(answer, 3, false)).toBe(problem);
  });

  it('are not in a synchronous mode until Patroni itself knows a synchronous standby', () => {
    const unaware = {
      members: members.map((member, at) => (at === 2 ? { ...member, role: 'replica' } : member)),
    };
    expect(clusterProblem(unaware, 3, true)).toBe('Patroni knows no synchronous standby');
    expect(clusterProblem(unaware, 3, false)).toBeNull();
  });
});

describe("pg_auto_failover's configuration", () => {
  it('has the times of its documentation, or shorter ones, in milliseconds', () => {
    expect(settingsIn(monitorSettings(pgafDefaults, '/sockets'))).toMatchObject({
      'pgautofailover.health_check_period': '5000',
      'pgautofailover.node_considered_unhealthy_timeout': '20000',
      'pgautofailover.primary_demote_timeout': '30000',
      unix_socket_directories: '/sockets',
    });
  });

  it('lets a primary that is alone stop itself before its time is over', () => {
    for (const times of [pgafDefaults, pgafTuned]) {
      expect(times.networkPartitionS * 1000).toBeLessThanOrEqual(times.primaryDemoteMs);
    }
  });

  it('waits for a standby in synchronous modes, and for one at any price in strict mode', () => {
    expect(replicationOf('off')).toEqual({ quorum: false, syncStandbys: 0 });
    expect(replicationOf('on')).toEqual({ quorum: true, syncStandbys: 0 });
    expect(replicationOf('strict')).toEqual({ quorum: true, syncStandbys: 1 });
  });

  it('asks clients for a password, before any rule that does not', () => {
    const rules = accessRules().split('\n');
    const clients = rules.indexOf('host all postgres 127.0.0.1/32 scram-sha-256');
    expect(clients).toBeGreaterThan(-1);
    expect(rules.slice(0, clients).filter((rule) => rule.startsWith('host'))).toEqual([]);
  });
});

describe("the monitor's nodes", () => {
  const row = (nodename: string, goalstate: string, reportedstate = goalstate) => ({
    nodename,
    goalstate,
    reportedstate,
  });
  const whole = [row('node1', 'secondary'), row('node2', 'primary'), row('node3', 'secondary')];

  it('are whole with one primary and all others secondary', () => {
    expect(monitorProblem(whole, 3)).toBeNull();
  });

  it('are not while one is on its way, is missing, or waits', () => {
    const moving = [...whole.slice(0, 2), row('node3', 'secondary', 'catchingup')];
    expect(monitorProblem(moving, 3)).toBe('node3 is catchingup and shall be secondary');
    expect(monitorProblem(whole.slice(1), 3)).toBe('the monitor knows 2 of 3 nodes');
    const waiting = [row('node1', 'secondary'), row('node2', 'wait_primary'), row('node3', 'secondary')];
    expect(monitorProblem(waiting, 3)).toBe("the monitor's nodes are secondary, wait_primary, secondary");
  });
});

describe('the nodes themselves', () => {
  const standby = { standby: true, streaming: 0, synchronous: 0 };
  const primary = { standby: false, streaming: 2, synchronous: 1 };

  it('are whole with a primary from which all others stream', () => {
    expect(viewProblem([standby, primary, standby], true)).toBeNull();
    expect(viewProblem([standby, { ...primary, synchronous: 0 }, standby], false)).toBeNull();
  });

  it('are not when one is silent, two are primary, one does not stream, or nobody is synchronous', () => {
    expect(viewProblem([null, primary, standby], false)).toBe('1 of 3 nodes do not answer');
    expect(viewProblem([primary, primary, standby], false)).toBe('2 primaries');
    expect(viewProblem([standby, standby, standby], false)).toBe('0 primaries');
    expect(viewProblem([standby, { ...primary, streaming: 1 }, standby], false)).toBe(
      '1 of 2 standbys stream',
    );
    expect(viewProblem([standby, { ...primary, synchronous: 0 }, standby], true)).toBe(
      'no synchronous standby',
    );
  });
});

describe('HAProxy in front of a peer', () => {
  const nodes = [{ id: 'node1', port: 20_001, restPort: 20_011 }];

  it("asks Patroni's REST API as Patroni's own haproxy.cfg does", () => {
    const text = renderPeerHaproxy({
      port: 20_000,
      nodes,
      check: { kind: 'rest' },
      times: shippedCheckTimes,
    });
    expect(text).toContain('option httpchk OPTIONS /primary');
    expect(text).toContain('default-server inter 3000ms fall 3 rise 2 on-marked-down shutdown-sessions');
    expect(text).toContain('server node1 127.0.0.1:20001 maxconn 1000 check port 20011');
    expect(text).toContain('bind 127.0.0.1:20000');
  });

  it('asks PostgreSQL itself where there is no REST API', () => {
    const text = renderPeerHaproxy({
      port: 20_000,
      nodes: [{ id: 'node1', port: 20_001 }],
      check: { kind: 'query', user: 'checker' },
      times: tunedCheckTimes,
    });
    expect(text).toContain(`send-binary ${startupMessage('checker')}`);
    expect(text).toMatch(/server node1 127\.0\.0\.1:20001 maxconn 1000 check$/m);
    // DataRow, 13 bytes, one column, three bytes: off.
    expect(text).toContain('expect binary 440000000d0001000000036f6666');
  });

  it("speaks PostgreSQL's protocol", () => {
    const startup = Buffer.from(startupMessage('me'), 'hex');
    expect(startup.readInt32BE(0)).toBe(startup.length);
    expect(startup.readInt32BE(4)).toBe(196_608);
    expect(startup.subarray(8).toString()).toBe('user\0me\0database\0postgres\0\0');
    const query = Buffer.from(queryMessage('select 1'), 'hex');
    expect(query.toString('latin1', 0, 1)).toBe('Q');
    expect(query.readInt32BE(1)).toBe(query.length - 1);
    expect(query.subarray(5).toString()).toBe('select 1\0');
  });
});

describe('PgBouncer before the HAProxy of a peer', () => {
  it('pools by transaction, as Leasehold does, and leads to HAProxy', () => {
    const text = renderPeerPgbouncer({
      port: 20_005,
      haproxyPort: 20_000,
      poolSize: 20,
      loginRetryS: defaultLoginRetryS,
      userlistFile: '/peer/userlist.txt',
    });
    for (const line of ['* = host=127.0.0.1 port=20000', 'listen_port = 20005', 'pool_mode = transaction']) {
      expect(text.split('\n')).toContain(line);
    }
    expect(text).toContain('server_login_retry = 15\n');
  });
});

describe('a peer', () => {
  it('has its default times, and tuned ones, under names of their own', () => {
    expect([...patroni, ...pgAutoFailover].map(({ name }) => name)).toEqual([
      'patroni-defaults',
      'patroni-tuned',
      'pgaf-defaults',
      'pgaf-tuned',
    ]);
  });

  it('runs on the loopback address, and says so to who wants another network', () => {
    for (const maker of [...patroni, ...pgAutoFailover]) {
      expect(maker.refuses({ mode: 'off', hosts: 'loopback' })).toBeNull();
      expect(maker.refuses({ mode: 'off', hosts: 'netns' })).toContain('loopback');
    }
  });

  it('misses the packages whose programs are not here, each once', () => {
    const wanted = [
      [true, 'haproxy'],
      [false, 'patroni'],
      [false, 'patroni'],
      [false, 'etcd-server'],
    ] as const;
    expect(missingOf(wanted)).toEqual(['patroni', 'etcd-server']);
  });

  it('looks for servers in the folder of the newest first', () => {
    const root = mkdtempSync(join(tmpdir(), 'leasehold-servers-'));
    try {
      for (const name of ['9', '15', 'lib', '13']) mkdirSync(join(root, name));
      expect(serverFolders(root)).toEqual(['15', '13', '9'].map((major) => join(root, major, 'bin')));
      expect(serverFolders(join(root, 'nothing'))).toEqual([]);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});
