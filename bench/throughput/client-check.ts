/** Whether a figure says something of the database or of the client that asked it. Pure. */
import type { MachineUsage } from '../measure/process-usage.ts';
import { spreadOf } from '../measure/statistics.ts';

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

/** Fewer pairs of runs cannot show that they agree. */
const leastPairs = 3;

export interface AgentJudgement {
  readonly verdict: AgentVerdict;
  /** Whether enough pairs of runs say so, and none says otherwise. */
  readonly agreement: 'yes' | 'no: noise is larger than the difference' | 'no: too few runs';
}

/** Of the ratios of pairs of runs, with the agent to without it. Null without any. */
export function judgeAgent(ratios: readonly number[]): AgentJudgement | null {
  const spread = spreadOf(ratios);
  if (spread === null) return null;
  const verdict = spread.median >= agentBudget ? 'met' : 'not met';
  if (ratios.length < leastPairs) return { verdict, agreement: 'no: too few runs' };
  const agree = verdict === 'met' ? spread.low >= agentBudget : spread.high < agentBudget;
  return { verdict, agreement: agree ? 'yes' : 'no: noise is larger than the difference' };
}
