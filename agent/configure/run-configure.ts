/**
 * `leasehold-agent configure`: writes /etc/leasehold/host.json, whole or not at all and for root's eyes only. Run by the installer, and
 * again by a person after a secret or a parameter has changed; a running agent reads it at its next start.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readInstanceFacts } from '../../adapters/aws/instance-metadata.ts';
import { readSecretValue } from '../../adapters/aws/secrets.ts';
import { findInstallation } from '../../adapters/postgres/find-installation.ts';
import { findProxyPrograms } from '../../adapters/proxy/find-programs.ts';
import { writeDurably } from '../disk-state.ts';
import { hostConfigOf } from './host-config-of.ts';
import { parameter, readParameters } from './parameters.ts';

const idTimeoutMs = 5_000;

/** `user`: whom PostgreSQL and the proxies run as. Throws with what is missing or wrong. */
export async function runConfigure(options: {
  readonly parametersFile: string;
  readonly configFile: string;
  readonly folder: string;
  readonly user: string;
}): Promise<number> {
  const parameters = readParameters(readFileSync(options.parametersFile, 'utf8'));
  const region = parameter(parameters, 'region');
  const config = await hostConfigOf({
    parameters,
    instance: () => readInstanceFacts(process.env['AWS_EC2_METADATA_SERVICE_ENDPOINT']),
    secret: (id) => readSecretValue({ region }, id),
    postgresBinDir,
    proxyPrograms,
    runAs: userCalled(options.user),
    folder: options.folder,
  });
  writeDurably(options.configFile, `${JSON.stringify(config, null, 2)}\n`, 0o600);
  process.stdout.write(
    `leasehold-agent: ${options.configFile}: ${config.role} ${config.node} of ${config.cluster}\n`,
  );
  return 0;
}

/** Debian and Ubuntu, PGDG for the RHEL family, Amazon Linux. */
async function postgresBinDir(major: number): Promise<string> {
  const folders = [`/usr/lib/postgresql/${major}/bin`, `/usr/pgsql-${major}/bin`, '/usr/bin'];
  for (const folder of folders) {
    const found = await findInstallation(folder);
    if (found.kind === 'installation' && found.major === major) return folder;
  }
  throw new Error(`PostgreSQL ${major} with all its programs is in none of ${folders.join(', ')}`);
}

async function proxyPrograms() {
  const found = await findProxyPrograms();
  if (found.kind !== 'found') throw new Error(found.detail);
  return { haproxy: found.haproxy.path, pgbouncer: found.pgbouncer.path };
}

function userCalled(name: string): { uid: number; gid: number } {
  const [uid, gid] = ['-u', '-g'].map((flag) => {
    const answer = spawnSync('id', [flag, '--', name], { encoding: 'utf8', timeout: idTimeoutMs });
    return answer.status === 0 ? Number(answer.stdout.trim()) : Number.NaN;
  });
  if (uid === undefined || gid === undefined || !(uid > 0) || !(gid > 0))
    throw new Error(`there is no user ${JSON.stringify(name)} on this host other than root`);
  return { uid, gid };
}
