/**
 * How late AWS answers, for the services that are played here: a delay for each request, drawn so that its median and its 99th
 * percentile are those of the profile (log-normal, cut off at four times the latter). Where the figures come from is in docs/benchmarks.md.
 */
import type { ServiceName } from './away.ts';

export const latencyProfiles = ['none', 'aws'] as const;
export type LatencyProfile = (typeof latencyProfiles)[number];

/** Throws for a name that no profile has. */
export function readLatencyProfile(name: string): LatencyProfile {
  const profile = latencyProfiles.find((known) => known === name);
  if (profile === undefined) throw new Error(`--latency ${name}: one of ${latencyProfiles.join(', ')}`);
  return profile;
}

export interface Latency {
  readonly medianMs: number;
  readonly p99Ms: number;
}

/** From Run Command's answer, which it gives before the host knows of anything, to the command's start there. */
export const commandDelivery = 'CommandDelivery';

/** By service, and by `service.Operation` where one differs from the rest. */
export const awsLatencies: Readonly<Record<ServiceName, Latency> & Record<string, Latency>> = {
  dynamodb: { medianMs: 6, p99Ms: 22 },
  states: { medianMs: 30, p99Ms: 120 },
  ssm: { medianMs: 60, p99Ms: 250 },
  'ssm.SendCommand': { medianMs: 120, p99Ms: 500 },
  [`ssm.${commandDelivery}`]: { medianMs: 780, p99Ms: 2_000 },
  ec2: { medianMs: 150, p99Ms: 600 },
  'ec2.StopInstances': { medianMs: 400, p99Ms: 1_500 },
  lambda: { medianMs: 12, p99Ms: 60 },
  secretsmanager: { medianMs: 15, p99Ms: 80 },
};

/** Of the standard normal distribution. */
const z99 = 2.326;
const mostOfP99 = 4;

/** `draw` gives numbers from 0 to 1, as Math.random does. */
export function latencyOf(profile: LatencyProfile, draw: () => number = Math.random) {
  return (service: ServiceName, operation: string): number => {
    if (profile === 'none') return 0;
    const { medianMs, p99Ms } = awsLatencies[`${service}.${operation}`] ?? awsLatencies[service];
    const sigma = Math.log(p99Ms / medianMs) / z99;
    return Math.min(medianMs * Math.exp(sigma * standardNormal(draw)), mostOfP99 * p99Ms);
  };
}

/** Box and Muller. */
function standardNormal(draw: () => number): number {
  const radius = Math.sqrt(-2 * Math.log(Math.max(draw(), Number.MIN_VALUE)));
  return radius * Math.cos(2 * Math.PI * draw());
}
