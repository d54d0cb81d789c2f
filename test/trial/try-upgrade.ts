/**
 * A trial of `leasehold upgrade` on a whole cluster of this machine: real agents, PostgreSQL and proxy, the document that the stack has, sent by
 * Run Command, and `host/upgrade.sh` on each host. Three runs under clients that write: one that is killed in the middle, the one that goes
 * on, and one whose release does not serve on the proxy. What is not real is the release: its
 * programs are this checkout's, under another version, and `systemctl` is a script that restarts the agent.
 *
 *   node test/trial/try-upgrade.ts
 */
import { chmodSync, copyFileSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ContinuousWriter } from '../../local/runtime/continuous-writer.ts';
import { eventually, openClusterSandbox, threeNodes } from '../integration/support/cluster-sandbox.ts';
import { startLeasehold } from '../integration/support/leasehold-cli.ts';
import { eventsOf } from '../integration/support/operations.ts';

const checkout = join(import.meta.dirname, '..', '..');
const releases = { '1.0.0': 'a', '2.0.0': 'b', '3.0.0': 'c' } as const;
type Version = keyof typeof releases;
const sha256Of = (version: Version) => releases[version].repeat(64);
const hostNames = ['node1', 'node2', 'node3', 'proxy1'];
const wholeMs = 60_000;

const say = (line: string) => void process.stdout.write(`--- ${line}\n`);

function program(path: string, lines: readonly string[]): void {
  writeFileSync(path, `#!/bin/bash\n${lines.join('\n')}\n`);
  chmodSync(path, 0o755);
}

/** The host's command, with what an installed host has around it. */
function equip(host: string): void {
  const at = (...names: string[]) => join(host, ...names);
  for (const name of ['etc', 'units']) mkdirSync(at(name));
  writeFileSync(at('etc', 'parameters'), `region ${Buffer.from('none').toString('base64')}\n`);
  renameSync(at('bin', 'leasehold-agent'), at('bin', 'agent-of-the-checkout'));
  program(at('bin', 'systemctl'), [
    `[[ $1 == restart ]] || exit 0`,
    `kill -TERM "$(grep -o '"pid":[0-9]*' ${at('run', 'agent.json')} | cut -d: -f2)"`,
  ]);
  program(at('bin', 'leasehold-agent'), [
    `. ${at('environment')}`,
    `export LEASEHOLD_ETC=${at('etc')} LEASEHOLD_UNITS=${at('units')} LEASEHOLD_UPGRADE_PATIENCE_S=15`,
    `[[ $1 == upgrade ]] && { shift; exec bash ${at('opt', 'current', 'bin', 'upgrade.sh')} "$@"; }`,
    `exec ${at('bin', 'agent-of-the-checkout')} "$@"`,
  ]);
  for (const version of Object.keys(releases) as Version[]) unpack(at('opt', version), version, host);
  symlinkSync(at('opt', '1.0.0'), at('opt', 'current'));
}

/** As boot.py leaves a release that it has fetched. The third one does not serve as a proxy. */
function unpack(folder: string, version: Version, host: string): void {
  for (const name of ['bin', 'systemd']) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, 'VERSION'), `${version}\n`);
  writeFileSync(join(folder, '.sha256'), `${sha256Of(version)}\n`);
  writeFileSync(join(folder, 'SHA256SUMS'), '');
  for (const name of ['upgrade.sh', 'boot.py'])
    copyFileSync(join(checkout, 'host', name), join(folder, 'bin', name));
  copyFileSync(
    join(checkout, 'host', 'leasehold-agent.service'),
    join(folder, 'systemd', 'leasehold-agent.service'),
  );
  const broken = version === '3.0.0' && basename(host).startsWith('proxy');
  program(join(folder, 'bin', 'leasehold-agent'), [
    broken ? '[[ $1 == serving ]] && exit 1' : '',
    `exec ${join(host, 'bin', 'agent-of-the-checkout')} "$@"`,
  ]);
  // An empty list of sums is an error for sha256sum.
  const sum = '01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b';
  writeFileSync(join(folder, 'newline'), '\n');
  writeFileSync(join(folder, 'SHA256SUMS'), `${sum}  newline\n`);
}

async function main(): Promise<number> {
  const sandbox = await openClusterSandbox(threeNodes({ lease: { ttlMs: 5_000, heartbeatMs: 1_000 } }));
  const { cluster, project } = sandbox;
  const wrong: string[] = [];
  const check = (what: string, is: boolean) => {
    say(`${is ? 'ok' : 'WRONG'}: ${what}`);
    if (!is) wrong.push(what);
  };
  try {
    await cluster.untilWhole(wholeMs);
    for (const host of hostNames) {
      equip(join(cluster.folder.hosts, host));
      await cluster.killAgent(host);
    }
    await cluster.untilWhole(wholeMs);
    const upgrade = (version: Version) =>
      startLeasehold([
        'upgrade',
        '--key',
        'agent.tar.gz',
        '--sha256',
        sha256Of(version),
        '--folder',
        project,
      ]);
    const versions = async () => {
      const [nodes, proxies] = [await cluster.store().readNodes(), await cluster.store().readProxies()];
      if (nodes.kind !== 'ok' || proxies.kind !== 'ok') throw new Error('DynamoDB does not answer');
      return [...nodes.value, ...proxies.value].map(({ agent }) => agent?.version ?? 'none').join(' ');
    };
    await eventually(
      'the first release reported',
      async () => (await versions()) === '1.0.0 1.0.0 1.0.0 1.0.0',
    );
    const postmasters = () =>
      hostNames
        .slice(0, 3)
        .map((node) => cluster.endpoints().nodes[node]?.postmasterPid ?? 0)
        .join(' ');
    const writer = new ContinuousWriter({
      dsn: cluster.endpoints().dsn.endpoint,
      clients: 4,
      table: 'upgraded',
    });
    await writer.start();
    writer.mark();
    const primary = await cluster.primary();

    const first = upgrade('2.0.0');
    await eventually(
      'a second host under way, or its end',
      () => (first.said.stderr.match(/^upgrading/gm) ?? []).length >= 2 || first.child.exitCode !== null,
      120_000,
    );
    first.child.kill('SIGKILL');
    await first.finished;
    say(`killed after: ${first.said.stderr.trim().split('\n').join('; ')}`);
    const second = await upgrade('2.0.0').finished;
    say(`${second.stderr.trim().split('\n').join('; ')}\n${second.stdout.trim()}`);
    check('a run that was killed goes on and ends', second.code === 0);
    check(`every host reports 2.0.0: ${await versions()}`, (await versions()) === '2.0.0 2.0.0 2.0.0 2.0.0');
    check('there was a switchover', (await cluster.primary()) !== primary);
    const seen = writer.figures();
    check(`no client saw an error: ${JSON.stringify(seen)}`, seen.errors === 0);

    for (const text of writer.errorTexts()) say(`an error: ${text}`);
    if (seen.errors > 0)
      for (const { time, who, kind, message } of await eventsOf(cluster))
        say(`${time} ${who} ${kind} ${message}`);
    writer.mark();
    // A host keeps its release and the one before: the third one is as if it had just been fetched.
    for (const host of hostNames) {
      const folder = join(cluster.folder.hosts, host);
      unpack(join(folder, 'opt', '3.0.0'), '3.0.0', folder);
    }
    const before = postmasters();
    const broken = await upgrade('3.0.0').finished;
    say(`${broken.stderr.trim().split('\n').join('\n    ')}`);
    check('a release that does not serve on the proxy fails', broken.code === 1);
    await cluster.untilWhole(wholeMs);
    check(
      `every host has 2.0.0 again: ${await versions()}`,
      (await versions()) === '2.0.0 2.0.0 2.0.0 2.0.0',
    );
    check('PostgreSQL has run on', postmasters() === before);
    check(`no client saw an error: ${JSON.stringify(writer.figures())}`, writer.figures().errors === 0);
    const events = (await eventsOf(cluster)).filter(({ kind }) => /upgrade|rolled_back/.test(kind));
    say(events.map(({ kind, message }) => `${kind} ${message}`).join('\n    '));
    await writer.stop();
    return wrong.length === 0 ? 0 : 1;
  } finally {
    await sandbox.close();
  }
}

process.exitCode = await main();
