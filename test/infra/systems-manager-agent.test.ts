/**
 * The part of a first boot that brings Systems Manager's agent, run by a real bash against a package server on loopback; the programs that
 * would change this machine are scripts that note how they were called.
 */
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withSystemsManager } from '../../infra/systems-manager-agent.ts';

const asked: string[] = [];
/** So many requests are refused first. */
let refusals = 0;
const server = createServer((request, response) => {
  asked.push(request.url ?? '');
  if (refusals > 0) {
    refusals -= 1;
    response.writeHead(503).end();
  } else response.end('a package');
});
beforeAll(() => new Promise<void>((done) => server.listen(0, '127.0.0.1', done)));
afterAll(() => new Promise((done) => server.close(done)));

interface Machine {
  readonly uname: string;
  /** Units that are there already. */
  readonly units: string;
}

async function boot({
  uname,
  units,
}: Machine): Promise<{ called: string; said: string; code: number | null }> {
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-ssm-'));
  const program = (name: string, text: string) => {
    writeFileSync(join(folder, name), `#!/bin/bash\n${text}\n`);
    chmodSync(join(folder, name), 0o755);
  };
  const note = `echo "$(basename "$0") $*" >>'${folder}/called'`;
  program('uname', `echo ${uname}`);
  program('dpkg', `[ "$(cat "$2")" = 'a package' ] && ${note}`);
  program('systemctl', `if [ "$1" = cat ]; then [[ ' ${units} ' == *" $2 "* ]]; else ${note}; fi`);
  writeFileSync(join(folder, 'called'), '');
  const packages = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const script = withSystemsManager('#!/bin/bash\nset -eu\necho "the rest"\n', packages);
  const child = spawn('/bin/bash', ['-c', script], {
    // With a socket as its input bash would read .bashrc.
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: `${folder}:${process.env['PATH']}`, LEASEHOLD_BOOT_PAUSE_S: '0' },
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => {
      said += data.toString();
    });
  const code = await new Promise<number | null>((done) => child.on('close', done));
  const called = readFileSync(join(folder, 'called'), 'utf8').replaceAll(/\/\S*\//g, '');
  rmSync(folder, { recursive: true });
  return { called, said, code };
}

test('an image without it gets it, for its own processor, before the rest of the boot', async () => {
  asked.length = 0;
  const { called, said, code } = await boot({ uname: 'aarch64', units: '' });
  expect(asked).toEqual(['/debian_arm64/amazon-ssm-agent.deb']);
  expect(called).toBe('dpkg -i amazon-ssm-agent.deb\nsystemctl enable --now amazon-ssm-agent\n');
  expect(said).toMatch(/the rest\n$/);
  expect(code).toBe(0);
  await boot({ uname: 'x86_64', units: '' });
  expect(asked.at(-1)).toBe('/debian_amd64/amazon-ssm-agent.deb');
});

test.each(['amazon-ssm-agent.service', 'snap.amazon-ssm-agent.amazon-ssm-agent.service'])(
  'an image that has %s is left as it is',
  async (units) => {
    asked.length = 0;
    const { called, said } = await boot({ uname: 'aarch64', units });
    expect(asked).toEqual([]);
    expect(called).toBe('');
    expect(said).toBe('the rest\n');
  },
);

test('a server that comes late is asked again', async () => {
  refusals = 3;
  const { called, said } = await boot({ uname: 'aarch64', units: '' });
  expect(called).toContain('dpkg -i');
  expect(said).not.toContain('could not be installed');
});

test('where it cannot be had, the boot says so and goes on', async () => {
  refusals = 100;
  const { called, said, code } = await boot({ uname: 'aarch64', units: '' });
  refusals = 0;
  expect(called).toBe('');
  expect(said).toContain("leasehold: Systems Manager's agent could not be installed\n");
  expect(said).toMatch(/the rest\n$/);
  expect(code).toBe(0);
});
