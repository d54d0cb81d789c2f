/** What the scale suite and its two helper programs tell one another over their channel. */
import type { AwsConfig } from '../../adapters/aws/dynamo-client.ts';
import type { UsageLine } from '../../local/aws/usage-meter.ts';
import type { RequestKind, RequestOutcome } from './metered-client.ts';
import type { DeadlineFigures, LeaseTimes } from './simulated-cluster.ts';

/** To the program of the agents: simulate these. */
export interface AgentsTask {
  readonly aws: AwsConfig;
  readonly tableName: string;
  /** Distinguishes the clusters of this run from all others in the table. */
  readonly prefix: string;
  readonly clusters: number;
  readonly times: LeaseTimes;
  /** Before anything is counted, and while it is. */
  readonly settleMs: number;
  readonly measureMs: number;
}

export interface AgentsFigures {
  readonly seconds: number;
  readonly outcomes: Readonly<Record<RequestOutcome, number>>;
  /** Histograms as text. */
  readonly latencies: Readonly<Record<RequestKind, string>>;
  readonly deadlines: DeadlineFigures;
  /** Clusters whose deadline had passed at the end. */
  readonly overdue: number;
  /** Of its own process, while it was counted. */
  readonly cpuSeconds: number;
}

/** From the program of the agents: what is counted begins, then what came of it, or why nothing did. */
export type AgentsMessage =
  | { readonly kind: 'counting' }
  | { readonly kind: 'figures'; readonly figures: AgentsFigures }
  | { readonly kind: 'failed'; readonly reason: string };

/** From the program of the endpoint, when it listens, and whenever it is asked. */
export type EndpointMessage =
  | { readonly kind: 'listening'; readonly endpoint: string; readonly tableName: string }
  | { readonly kind: 'use'; readonly cpuSeconds: number; readonly usage: readonly UsageLine[] };
