/** What HAProxy is told and what it says, without HAProxy. */
import { describe, expect, it } from 'vitest';
import {
  type HaproxyConfig,
  nodeAddressProblem,
  pgbouncerServer,
  renderHaproxyConfig,
  serverArguments,
} from '../../../adapters/proxy/haproxy-config.ts';
import {
  parseConnectionCounts,
  parseServersState,
  parseSessions,
  runCommands,
  splitAnswers,
} from '../../../adapters/proxy/haproxy-runtime.ts';

const node = { nodeId: 'n1', host: '10.0.0.1', port: 5432, restPort: 8008 };
const check = { intervalMs: 500, failures: 3 };
const config: HaproxyConfig = {
  listeners: {
    endpoint: { host: '0.0.0.0', port: 5000 },
    primary: { host: '0.0.0.0', port: 5001 },
    replicas: { host: '::', port: 5002 },
  },
  nodes: [node, { ...node, nodeId: 'n2', host: '10.0.0.2', restPort: null }],
  runtimeSocket: '/run/x/haproxy.sock',
  pgbouncerSocket: '/run/x/.s.PGSQL.6432',
  upstreamSocket: '/run/x/upstream/.s.PGSQL.5432',
  tcp: null,
  maxConnections: 100,
  patienceMs: 60_000,
  check,
};

/** As HAProxy 2.6 prints it. */
const serversState = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
3 primary 1 :hold 127.255.255.254 2 0 1 1 2 1 0 2 0 0 0 0 - 1 - 0 0 - - 0
3 primary 2 n1 127.0.0.1 2 4 1 1 0 1 0 0 8 0 0 0 - 7001 - 0 8008 - - 0
3 primary 3 n2 127.0.0.1 0 1 1 1 0 1 0 0 2 0 0 0 - 7009 - 0 8009 - - 8009
3 primary 4 n3 127.0.0.1 0 0 1 1 0 1 0 0 2 0 0 0 - 7010 - 0 8010 - - 8010
`;

const session = (id: string, words: string) =>
  `${id}: proto=unix_stream src=unix:1 ${words} ts=00 epoch=0 age=2s calls=63 rate=39 cpu=0 lat=0 rq[f=808000h,i=0,an=00h,rx=,wx=,ax=] rp[f=80000000h,i=0,an=00h,rx=,wx=,ax=] scf=[8,200h,fd=12]`;

describe('haproxy.cfg', () => {
  it('starts every node in maintenance, so that no connection reaches one that nobody vouched for', () => {
    const nodes = renderHaproxyConfig(config)
      .split('\n')
      .filter((line) => /^ {2}server n\d/.test(line));
    expect(nodes).toHaveLength(4);
    for (const line of nodes) expect(line).toMatch(/ disabled$/);
  });

  it('lets a connection wait for its whole patience', () => {
    expect(renderHaproxyConfig(config)).toContain('retries 1200\n');
    expect(renderHaproxyConfig(config)).toContain('server :hold 127.255.255.254:1 backup\n');
  });

  it('reaches PgBouncer by sockets, and by TCP where TLS ends there', () => {
    const plain = renderHaproxyConfig(config);
    expect(plain).toContain('server pgbouncer unix@/run/x/.s.PGSQL.6432\n');
    expect(plain).toContain('frontend upstream\n  bind unix@/run/x/upstream/.s.PGSQL.5432 mode 600\n');
    const tcp = {
      pgbouncer: { host: '10.0.0.9', port: 6432 },
      upstream: { host: '127.0.0.2', port: 5001 },
    };
    const secure = renderHaproxyConfig({ ...config, tcp });
    expect(secure).toContain('server pgbouncer 10.0.0.9:6432\n');
    expect(secure).toContain('frontend upstream\n  bind 127.0.0.2:5001\n');
    expect(secure).not.toContain('unix@');
    // By which a running one is known.
    expect(plain).toContain(pgbouncerServer(config));
    expect(secure).toContain(pgbouncerServer({ ...config, tcp }));
    expect(plain).not.toContain(pgbouncerServer({ ...config, tcp }));
  });

  it('writes IPv6 listeners with brackets', () => {
    expect(renderHaproxyConfig(config)).toContain('bind [::]:5002\n');
  });

  it('checks a node only where its agent has a port for it', () => {
    expect(serverArguments('primary', node, check)).toContain('check port 8008 rise 1 fall 3 inter 500ms');
    expect(serverArguments('primary', { ...node, restPort: null }, check)).toBe('10.0.0.1:5432');
  });

  it('leaves the connections of a primary that fails its checks to the agent', () => {
    expect(serverArguments('primary', node, check)).not.toContain('shutdown-sessions');
    expect(serverArguments('replicas', node, check)).toContain('on-marked-down shutdown-sessions');
  });

  it.each([
    ['a command in the name', { ...node, nodeId: 'a;b' }],
    ['a line break in the name', { ...node, nodeId: 'a\nb' }],
    ['the name of the waiting room', { ...node, nodeId: ':hold' }],
    ['a host that must be resolved', { ...node, host: 'db.example' }],
    ['a port of nothing', { ...node, port: 0 }],
    ['a REST port of nothing', { ...node, restPort: 65_536 }],
  ])('refuses %s', (_what, wrong) => {
    expect(nodeAddressProblem(wrong)).not.toBeNull();
  });

  it('finds nothing wrong with an ordinary node', () => {
    expect(nodeAddressProblem(node)).toBeNull();
    expect(nodeAddressProblem({ ...node, nodeId: 'db-1.eu_a', host: 'fd00::1' })).toBeNull();
  });
});

describe('the runtime interface', () => {
  it('tells who is let in from who is up', () => {
    const states = parseServersState(serversState).map(({ server, enabled, up }) => [server, enabled, up]);
    expect(states).toEqual([
      [':hold', true, true],
      ['n1', true, true],
      ['n2', false, false],
      ['n3', true, false],
    ]);
  });

  it('reads addresses and check ports', () => {
    expect(parseServersState(serversState)[1]).toMatchObject({
      backend: 'primary',
      host: '127.0.0.1',
      port: 7001,
      checkPort: 8008,
    });
  });

  it('tells an established connection from one in the making, and leaves its own sessions out', () => {
    const text = [
      `${session('0x1', 'fe=upstream be=primary srv=n1')} scb=[8,0h,fd=14] exp=0s rc=0 c_exp=`,
      `${session('0x2', 'fe=upstream be=primary srv=:hold')} scb=[3,1h,fd=-1] exp=0s rc=31 c_exp=0s`,
      `${session('0x3', 'fe=GLOBAL be=<NONE> srv=<none>')} scb=[8,1h,fd=-1] exp=9s rc=0 c_exp=`,
    ].join('\n');
    expect(parseSessions(text)).toEqual([
      { id: '0x1', frontend: 'upstream', backend: 'primary', server: 'n1', established: true },
      { id: '0x2', frontend: 'upstream', backend: 'primary', server: ':hold', established: false },
    ]);
  });

  it('counts the connections of each server, and knows nothing of one that is not shown', () => {
    const text = '# pxname,svname,qcur,qmax,scur,smax,\nprimary,:hold,0,0,2,3,\nprimary,n1,0,0,0,7,\n';
    const counts = parseConnectionCounts(text);
    expect(['n1', ':hold', 'n2'].map((name) => counts.get(name))).toEqual([0, 2, undefined]);
  });

  it('gives each command its answer, silent ones too', () => {
    expect(splitAnswers('\nNew server registered.\n\n\n')).toEqual(['', 'New server registered.', '']);
  });

  it('refuses to send a command that holds two', async () => {
    await expect(runCommands('/nowhere', ['show info;show sess'], 100)).rejects.toThrow('separator');
  });

  it('says unreachable where nobody listens', async () => {
    expect(await runCommands('/nowhere/haproxy.sock', ['show info'], 100)).toMatchObject({
      kind: 'unreachable',
    });
  });
});
