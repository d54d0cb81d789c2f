/** `/metrics`: Patroni's names and labels, in a form that Prometheus reads. */
import { describe, expect, it } from 'vitest';
import { type MetricFacts, renderMetrics } from '../../core/host/metrics.ts';
import { lsnOf } from '../../core/model/lsn.ts';

const primary: MetricFacts = {
  cluster: 'main',
  node: 'node1',
  running: true,
  role: 'primary',
  sync: false,
  streaming: false,
  replayPaused: false,
  pendingRestart: false,
  currentLsn: lsnOf(0x16_b374_d848n),
  receivedLsn: null,
  replayedLsn: null,
  timeline: 3,
  serverVersion: '15.18 (Debian 15.18-0+deb12u1)',
  lagBytes: null,
  leaseHeld: true,
  epoch: 7,
  holdStage: 'valid',
  failsafeActive: false,
  failsafeSeconds: 0,
  heldBack: false,
  paused: false,
  storeAnsweredAt: 1_790_000_000,
  storeSilentSeconds: 0.4,
};

const sampleOf = (facts: MetricFacts, name: string): string | undefined => {
  const line = renderMetrics(facts)
    .split('\n')
    .find((one) => one.startsWith(`${name}{`));
  return line?.slice(line.lastIndexOf(' ') + 1);
};

describe('/metrics', () => {
  it.each([
    ['patroni_postgres_running', '1'],
    ['patroni_primary', '1'],
    ['patroni_replica', '0'],
    ['patroni_xlog_location', '97500059720'],
    ['patroni_postgres_timeline', '3'],
    ['patroni_postgres_server_version', '150018'],
    ['patroni_cluster_unlocked', '0'],
    ['patroni_failsafe_mode_is_active', '0'],
    ['patroni_dcs_last_seen', '1790000000'],
    ['leasehold_epoch', '7'],
    ['leasehold_dynamodb_silent_seconds', '0.4'],
  ])('says %s', (name, value) => {
    expect(sampleOf(primary, name)).toBe(value);
  });

  it('names the stage of the fence, one of them', () => {
    const text = renderMetrics({ ...primary, holdStage: 'quit' });
    expect(text).toContain('leasehold_lease_stage{scope="main",name="node1",stage="quit"} 1');
    expect(text.match(/leasehold_lease_stage\{.*\} 1/g)).toHaveLength(1);
  });

  it('shows failsafe mode while it is active', () => {
    const active = { ...primary, failsafeActive: true, failsafeSeconds: 12.5 };
    expect(sampleOf(active, 'patroni_failsafe_mode_is_active')).toBe('1');
    expect(sampleOf(active, 'leasehold_failsafe_seconds')).toBe('12.5');
  });

  it('leaves out what is not known, and what is down is no primary', () => {
    const down = { ...primary, running: false, epoch: null, serverVersion: '' };
    expect(sampleOf(down, 'patroni_primary')).toBe('0');
    expect(sampleOf(down, 'leasehold_epoch')).toBeUndefined();
    expect(sampleOf(down, 'patroni_postgres_server_version')).toBeUndefined();
  });

  it('is text that Prometheus reads: help and type before each sample, names and numbers well-formed', () => {
    const lines = renderMetrics({ ...primary, cluster: 'a"b' })
      .trimEnd()
      .split('\n');
    const announced = new Set<string>();
    for (const line of lines) {
      const type = /^# TYPE (\w+) (gauge|counter)$/.exec(line);
      if (type?.[1] !== undefined) announced.add(type[1]);
      else if (!line.startsWith('# HELP ')) {
        const sample = /^([a-z_]+)\{scope="a\\"b",name="node1"(?:,stage="\w+")?\} -?\d+(?:\.\d+)?$/.exec(
          line,
        );
        expect(sample, line).not.toBeNull();
        expect(announced).toContain(sample?.[1]);
      }
    }
  });
});
