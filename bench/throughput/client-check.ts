/** Whether a figure says something of the database or of the client that asked it. Pure. */
import type { MachineUsage } from '../measure/process-usage.ts';

/**
 * `client`: its threads were busy nearly all of the time, so that it could not have asked for more. `machine`: no core of the machine that
 * ran the client was idle, so that client, proxies and (where they are here) servers took time from one another. `none`: neither.
 */
export type Bottleneck = 'client' | 'machine' | 'none';

export interface ClientCheck {
  /** Of the time of its threads; 1 is all of it. */
  readonly clientBusy: number;
  /** Of all cores. */
  readonly machineBusy: number;
  readonly bottleneck: Bottleneck;
}

const clientLimit = 0.8;
const machineLimit = 0.95;

export function checkClient(run: {
  readonly clientCpuSeconds: number;
  /** Threads, or processes, that could work at the same time. */
  readonly threads: number;
  readonly seconds: number;
  readonly machine: MachineUsage;
}): ClientCheck {
  const { busySeconds, idleSeconds, diskWaitSeconds, stolenSeconds } = run.machine;
  const clientBusy = run.clientCpuSeconds / (run.threads * run.seconds);
  const all = busySeconds + idleSeconds + diskWaitSeconds + stolenSeconds;
  const machineBusy = all === 0 ? 0 : (busySeconds + stolenSeconds) / all;
  return { clientBusy, machineBusy, bottleneck: bottleneckOf(clientBusy, machineBusy) };
}

function bottleneckOf(clientBusy: number, machineBusy: number): Bottleneck {
  if (clientBusy >= clientLimit) return 'client';
  return machineBusy >= machineLimit ? 'machine' : 'none';
}

export type AgentVerdict = 'met' | 'not met';

export const agentBudget = 0.98;

/** Of the ratios of pairs of runs, with the agent to without it. `sure`: no pair of runs says otherwise. */
export function judgeAgent(ratio: { readonly median: number; readonly low: number; readonly high: number }): {
  readonly verdict: AgentVerdict;
  readonly sure: boolean;
} {
  const verdict = ratio.median >= agentBudget ? 'met' : 'not met';
  return { verdict, sure: verdict === 'met' ? ratio.low >= agentBudget : ratio.high < agentBudget };
}
