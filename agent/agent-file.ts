/** A small file that says where this agent can be reached now: for the programs of the same host. */
import { renameSync, writeFileSync } from 'node:fs';
import type { HostConfig } from '../core/model/host-config.ts';
import { agentFilePath } from './paths.ts';

export function writeAgentFile(config: HostConfig, ports: { restPort: number; wakePort: number }): void {
  const path = agentFilePath(config);
  writeFileSync(`${path}.new`, `${JSON.stringify({ pid: process.pid, ...ports })}\n`, { mode: 0o644 });
  renameSync(`${path}.new`, path);
}
