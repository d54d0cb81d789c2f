/**
 * Fencing by Run Command: proof that no PostgreSQL of this host accepts writes at `epoch` or below, made and barred rather
 * than found. First the bar is written durably (no agent of this host opens a primary at that epoch again), then what may
 * be such a primary is killed, then it is verified. What was opened at a newer epoch is left alone (F2): the command is late then.
 * Works without a living agent. The last line it prints is the proof, as JSON.
 */
import { decideFenceCommand } from '../../core/host/decide-fence-command.ts';
import type { DatabaseHostConfig } from '../../core/model/host-config.ts';
import { barHost, DiskState } from '../disk-state.ts';
import { stateFolder } from '../paths.ts';
import { postgresFor } from './postgres-for.ts';

export async function fenceHost(config: DatabaseHostConfig, epoch: number): Promise<number> {
  barHost(stateFolder(config), epoch);
  process.stdout.write(`barred: no primary at epoch ${epoch} or below on ${config.node}\n`);
  // After the bar: from here on nothing can be opened at this epoch, so what is read now stays true.
  const { rule, order, reason } = decideFenceCommand({ epoch, dataEpoch: dataEpochOf(config) });
  process.stdout.write(`${order}: ${reason} (${rule})\n`);
  const done = order === 'leave' ? { killed: 0, remaining: 0 } : await kill(config, epoch);
  const proof = { fenced: done.remaining === 0, epoch, node: config.node, ...done, rule };
  process.stdout.write(`${JSON.stringify(proof)}\n`);
  return proof.fenced ? 0 : 1;
}

async function kill(
  config: DatabaseHostConfig,
  epoch: number,
): Promise<{ killed: number; remaining: number }> {
  const postgres = postgresFor(config);
  const evidence = await postgres.killAll(`fenced at epoch ${epoch}`);
  process.stdout.write(`killed ${evidence.killed} processes in ${Math.round(evidence.ms)} ms\n`);
  return { killed: evidence.killed, remaining: postgres.findProcesses().length };
}

function dataEpochOf(config: DatabaseHostConfig): number | null {
  try {
    return new DiskState(stateFolder(config)).facts().dataEpoch;
  } catch {
    return null;
  }
}
