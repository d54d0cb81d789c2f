/**
 * `leasehold-agent`: the program of one host.
 *
 *   leasehold-agent run          --config FILE            the agent itself, until SIGTERM
 *   leasehold-agent fence        --config FILE --epoch N  bars and kills PostgreSQL, with proof (Run Command)
 *   leasehold-agent configure    --config FILE --parameters FILE --folder FOLDER --user USER   writes that config
 *   leasehold-agent check-config --config FILE            says whether this version takes it
 *   leasehold-agent doctor       --config FILE [--json]   what is wrong with this host
 *   leasehold-agent serving      --config FILE            this host's part in the cluster, while it plays it
 *
 * `run-action` is a script of its own, `run-action.sh` beside this program; on a host, `host/leasehold-agent` tells them apart.
 *
 * Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { HostConfig } from '../core/model/host-config.ts';
import { parseHostConfig } from '../core/wire/parse-host-config.ts';

const usage =
  'usage: leasehold-agent run|fence|configure|check-config|doctor|serving --config FILE [--epoch N] [--json] [--parameters FILE --folder FOLDER --user USER]';

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      config: { type: 'string' },
      epoch: { type: 'string' },
      json: { type: 'boolean' },
      parameters: { type: 'string' },
      folder: { type: 'string' },
      user: { type: 'string' },
    },
  });
  const { config: configFile } = values;
  if (configFile === undefined) throw new UsageError(usage);
  if (positionals[0] === 'configure') return await configure({ ...values, configFile });
  const config = readConfig(configFile);
  switch (positionals[0]) {
    case 'run':
      return await run(config);
    case 'fence':
      return await fence(config, values.epoch);
    case 'check-config':
      return 0;
    case 'doctor': {
      const { runDoctor } = await import('./doctor/run-doctor.ts');
      return await runDoctor(config, { configFile, json: values.json === true });
    }
    case 'serving': {
      const { runServing } = await import('./doctor/run-doctor.ts');
      return await runServing(config);
    }
    default:
      throw new UsageError(usage);
  }
}

async function configure(options: {
  configFile: string;
  parameters?: string | undefined;
  folder?: string | undefined;
  user?: string | undefined;
}): Promise<number> {
  const { configFile, parameters: parametersFile, folder, user } = options;
  if (parametersFile === undefined || folder === undefined || user === undefined) throw new UsageError(usage);
  const { runConfigure } = await import('./configure/run-configure.ts');
  return await runConfigure({ configFile, parametersFile, folder, user });
}

class UsageError extends Error {}

/** Throws UsageError for what is missing or wrong: trying again mends neither. A disk that does not answer is another matter. */
function readConfig(path: string): HostConfig {
  try {
    return parseHostConfig(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== undefined && !['ENOENT', 'EACCES', 'EISDIR', 'ENOTDIR'].includes(code)) throw error;
    throw new UsageError(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function run(config: HostConfig): Promise<number> {
  if (config.role === 'database') {
    const { runDatabase } = await import('./run-database.ts');
    return await runDatabase(config);
  }
  const { runProxy } = await import('./run-proxy.ts');
  return await runProxy(config);
}

async function fence(config: HostConfig, epochText = ''): Promise<number> {
  const epoch = Number(epochText);
  if (!/^\d+$/.test(epochText) || !Number.isSafeInteger(epoch)) {
    throw new UsageError(`--epoch was ${JSON.stringify(epochText)}; it takes a whole number`);
  }
  if (config.role !== 'database') throw new UsageError('fence: this is a proxy host, it has no PostgreSQL');
  const { fenceHost } = await import('./database/fence-host.ts');
  return await fenceHost(config, epoch);
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`leasehold-agent: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
    if (!(error instanceof UsageError) && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    process.exit();
  },
);
