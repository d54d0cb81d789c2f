/** The scale suite: what it counts, what it makes of it, and what it takes. */
import { describe, expect, it } from 'vitest';
import { Latencies } from '../../../bench/scale/latencies.ts';
import { kindOf, meteredClient, outcomeOf, RequestFigures } from '../../../bench/scale/metered-client.ts';
import type { StepFigures } from '../../../bench/scale/run-step.ts';
import { readScaleOptions } from '../../../bench/scale/scale-suite.ts';
import { dueRate, limitOf, limitsTable, mostUnhindered } from '../../../bench/scale/scale-tables.ts';

const latency = { p50: 1, p99: 2, most: 3 };
const due = 7;

const step = (fields: Partial<StepFigures>): StepFigures => ({
  clusters: 10,
  seconds: 20,
  requestsPerSecond: 70,
  outcomes: { answered: 1_400, refused: 0, throttled: 0, failed: 0 },
  latencyMs: {
    'write of the lease': latency,
    'read of lease and record': latency,
    report: latency,
    'read of reports': latency,
  },
  deadlines: { renewals: 200, unready: 0, missed: 0, gaps: 0 },
  overdue: 0,
  agentsCpu: 0.2,
  endpointCpu: 0.3,
  units: { read: 60, write: 14 },
  ...fields,
});

describe('what holds many clusters up', () => {
  it('is nothing while every request is made and no deadline comes near', () => {
    expect(limitOf(step({}), due)).toBe('nothing');
  });

  it('is the stand-in when its one thread is busy, and the agents when theirs is', () => {
    const late = { requestsPerSecond: 40 };
    expect(limitOf(step({ ...late, endpointCpu: 0.97 }), due)).toContain('stand-in');
    expect(limitOf(step({ ...late, agentsCpu: 0.97 }), due)).toContain('plays the agents');
    expect(limitOf(step(late), due)).toContain('this machine');
  });

  it('is named for one missed or overdue deadline, however many requests were made', () => {
    const deadlines = { renewals: 200, unready: 0, missed: 1, gaps: 0 };
    expect(limitOf(step({ deadlines }), due)).not.toBe('nothing');
    expect(limitOf(step({ overdue: 1 }), due)).not.toBe('nothing');
  });

  it('is the table when it throttles', () => {
    const outcomes = { answered: 1_000, refused: 0, throttled: 5, failed: 0 };
    expect(limitOf(step({ outcomes, endpointCpu: null, units: null }), due)).toBe('the table throttles');
  });

  it('leaves as most the largest step without it', () => {
    const steps = [step({}), step({ clusters: 100, requestsPerSecond: 300, endpointCpu: 1 })];
    expect(mostUnhindered(steps, due)).toBe(10);
    expect(mostUnhindered([step({ overdue: 3 })], due)).toBeNull();
  });

  it('follows the heartbeat in what is due', () => {
    expect(dueRate(500) - dueRate(1_000)).toBeCloseTo(4.25);
  });
});

describe("DynamoDB's limits", () => {
  it('are divided by what one cluster consumes, the tighter of reads and writes', () => {
    const rows = limitsTable(step({}))?.rows ?? [];
    expect(rows[0]).toEqual(['one partition, were all clusters in it', 3_000, 1_000, 500]);
  });

  it('are left out where units were not counted', () => {
    expect(limitsTable(step({ units: null }))).toBeNull();
  });
});

describe('the client that counts', () => {
  it('knows requests by their input, and outcomes by the name of the error', () => {
    expect(kindOf({ Key: { pk: 'cluster#a', sk: 'lease' } })).toBe('write of the lease');
    expect(kindOf({ Item: {} })).toBe('report');
    expect(kindOf({ ExpressionAttributeValues: { ':pk': 'cluster#a' } })).toBe('read of lease and record');
    expect(kindOf({ ExpressionAttributeValues: { ':pk': 'cluster#a#nodes' } })).toBe('read of reports');
    const named = (name: string) => Object.assign(new Error('x'), { name });
    expect(outcomeOf(named('ConditionalCheckFailedException'))).toBe('refused');
    expect(outcomeOf(named('ProvisionedThroughputExceededException'))).toBe('throttled');
    expect(outcomeOf(named('TimeoutError'))).toBe('failed');
  });

  it('passes answers and errors on unchanged, and counts only while it is told to', async () => {
    const figures = new RequestFigures();
    let counting: RequestFigures | null = null;
    let fails = false;
    const update = async () => {
      if (fails) throw Object.assign(new Error('no'), { name: 'TimeoutError' });
      return { Attributes: {} };
    };
    const client = meteredClient(
      { update } as unknown as Parameters<typeof meteredClient>[0],
      () => counting,
    );
    const ask = () => client.update({ TableName: 't', Key: {} });
    await ask();
    counting = figures;
    expect(await ask()).toEqual({ Attributes: {} });
    fails = true;
    await expect(ask()).rejects.toThrow('no');
    expect(figures.outcomes).toEqual({ answered: 1, refused: 0, throttled: 0, failed: 1 });
    expect(figures.latencies['write of the lease'].percentileMs(100)).not.toBeNull();
  });
});

describe('latencies', () => {
  it('can be added up from several programs', () => {
    const [one, other] = [new Latencies(), new Latencies()];
    for (let ms = 1; ms <= 50; ms += 1) one.record(ms);
    for (let ms = 51; ms <= 100; ms += 1) other.record(ms);
    one.add(other.toText());
    expect(one.percentileMs(50)).toBeCloseTo(50, 0);
    expect(one.percentileMs(100)).toBeCloseTo(100, 0);
    expect(new Latencies().percentileMs(50)).toBeNull();
  });

  it('take what is longer than anybody waits as the longest', () => {
    const latencies = new Latencies();
    latencies.record(1e9);
    expect(latencies.percentileMs(100)).toBeCloseTo(60_000, -2);
  });
});

describe('the options of the scale suite', () => {
  const given = {
    clusters: '1,10',
    seconds: '5',
    heartbeat: '500',
    workers: '1',
    endpoint: 'embedded',
    table: '',
  };

  it('are read with the ttl that goes with the heartbeat', () => {
    expect(readScaleOptions(given)).toMatchObject({
      clusters: [1, 10],
      times: { heartbeatMs: 500, ttlMs: 2_000 },
      elsewhere: null,
    });
    expect(readScaleOptions({ ...given, endpoint: 'aws', table: 't' }).elsewhere).toEqual({
      url: null,
      table: 't',
    });
  });

  it('name what is wrong', () => {
    expect(() => readScaleOptions({ ...given, clusters: '1,x' })).toThrow('--clusters x');
    expect(() => readScaleOptions({ ...given, endpoint: 'dynamodb' })).toThrow('--endpoint dynamodb');
    expect(() => readScaleOptions({ ...given, endpoint: 'aws' })).toThrow('--table');
    expect(() => readScaleOptions({ ...given, table: 't' })).toThrow('--endpoint');
  });
});
