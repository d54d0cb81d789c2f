/**
 * `npm run artifact -- [--arch arm64|x64]`: writes the hosts' artifact to `.build/` and prints its path, size and SHA-256, for `aws s3 cp` and
 * for the props of a cluster. Without `--arch` for this machine's kind of processor. For another, Node is fetched from npm's registry.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { architectures, nodeRuntime } from './artifact/node-runtime.ts';
import { writeArtifact } from './artifact/write-artifact.ts';
import { checkout } from './runtime/build-artifacts.ts';

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { arch: { type: 'string', default: process.arch } } });
  const architecture = architectures.find((name) => name === values.arch);
  if (architecture === undefined) {
    throw new Error(`--arch was "${values.arch}"; it takes ${architectures.join(' or ')}`);
  }
  const folder = join(checkout, '.build');
  mkdirSync(folder, { recursive: true });
  const nodeProgram = await nodeRuntime(checkout, architecture, join(folder, 'node'));
  const { path, version, bytes, sha256 } = await writeArtifact(
    { checkout, nodeProgram, architecture },
    folder,
  );
  process.stdout.write(`version ${version}\npath    ${path}\nbytes   ${bytes}\nsha256  ${sha256}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`artifact: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
