/** How late the played services answer. */
import { describe, expect, test } from 'vitest';
import { awsLatencies, commandDelivery, latencyOf } from '../../local/aws/latency-profile.ts';

/** Park and Miller's generator: the same numbers at each run. */
function generator(): () => number {
  let seed = 1;
  return () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
}

describe('a latency profile', () => {
  test('none is no delay at all', () => {
    expect(latencyOf('none')('dynamodb', 'UpdateItem')).toBe(0);
  });

  test('draws have the median and the 99th percentile that the profile says', () => {
    const latency = latencyOf('aws', generator());
    const drawn = Array.from({ length: 20_000 }, () => latency('dynamodb', 'UpdateItem')).sort(
      (a, b) => a - b,
    );
    const { medianMs, p99Ms } = awsLatencies.dynamodb;
    expect(drawn[10_000]).toBeGreaterThan(medianMs * 0.95);
    expect(drawn[10_000]).toBeLessThan(medianMs * 1.05);
    expect(drawn[19_800]).toBeGreaterThan(p99Ms * 0.85);
    expect(drawn[19_800]).toBeLessThan(p99Ms * 1.15);
    expect(drawn.at(-1)).toBeLessThanOrEqual(4 * p99Ms);
  });

  test('an operation of its own kind is told apart from the rest of its service', () => {
    const middle = latencyOf('aws', () => 0.25);
    // cos(pi / 2) is 0: the median.
    expect(middle('ssm', 'SendCommand')).toBeCloseTo(awsLatencies['ssm.SendCommand']?.medianMs ?? 0, 6);
    expect(middle('ssm', 'GetCommandInvocation')).toBeCloseTo(awsLatencies.ssm.medianMs, 6);
    expect(middle('ssm', commandDelivery)).toBeCloseTo(awsLatencies['ssm.CommandDelivery']?.medianMs ?? 0, 6);
  });
});
