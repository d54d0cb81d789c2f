#!/usr/bin/env node
/**
 * The `leasehold` command: makes sure of the npm packages, then runs the CLI with the project's own Node 24, in the caller's
 * folder and with the caller's terminal.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectNode } from './packages.js';
import { prepare } from './prepare.js';
import { runChild } from './run-child.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

process.exitCode = await prepare({ root, servers: false });
if (process.exitCode === 0) {
  const cli = join(root, 'cli', 'main.ts');
  process.exitCode = (await runChild(projectNode(root), [cli, ...process.argv.slice(2)])).code;
}
