/**
 * Fencing by Run Command: proof that no PostgreSQL of this host accepts writes at `epoch` or below, made and barred rather
 * than found. First the bar is written durably (no agent of this host opens a primary at that epoch again), then everything
 * is killed, then it is verified. Works without a living agent. The last line it prints is the proof, as JSON.
 */
import type { DatabaseHostConfig } from '../../core/model/host-config.ts';
import { barHost } from '../disk-state.ts';
import { stateFolder } from '../paths.ts';
import { postgresFor } from './postgres-for.ts';

export async function fenceHost(config: DatabaseHostConfig, epoch: number): Promise<number> {
  barHost(stateFolder(config), epoch);
  process.stdout.write(`barred: no primary at epoch ${epoch} or below on ${config.node}\n`);
  const postgres = postgresFor(config);
  const evidence = await postgres.killAll(`fenced at epoch ${epoch}`);
  process.stdout.write(`killed ${evidence.killed} processes in ${Math.round(evidence.ms)} ms\n`);
  const left = postgres.findProcesses();
  const proof = {
    fenced: left.length === 0,
    epoch,
    node: config.node,
    killed: evidence.killed,
    remaining: left.length,
  };
  process.stdout.write(`${JSON.stringify(proof)}\n`);
  return proof.fenced ? 0 : 1;
}
