/** What AWS would bill is added up, and each request is put to the items it is about and to who made it. */
import { describe, expect, it } from 'vitest';
import { applicationOf, itemsOf } from '../../../local/aws/dynamodb-usage.ts';
import { noUsage, UsageMeter, usageBetween } from '../../../local/aws/usage-meter.ts';

const key = { service: 'dynamodb', operation: 'UpdateItem', what: 'lease', who: 'node1' } as const;

describe('the meter of what AWS would bill', () => {
  it('adds up what has the same key, one request at a time unless it is told otherwise', () => {
    const meter = new UsageMeter();
    meter.add(key, { writeUnits: 1 });
    meter.add(key, { writeUnits: 2, refused: 1 });
    expect(meter.lines()).toEqual([{ ...key, ...noUsage, requests: 2, refused: 1, writeUnits: 3 }]);
  });

  it('tells what came between two readings, and leaves out what did not change', () => {
    const meter = new UsageMeter();
    meter.add(key, { writeUnits: 1 });
    meter.add({ ...key, who: 'node2' });
    const before = meter.lines();
    meter.add(key, { writeUnits: 1 });
    meter.add({ ...key, what: 'record' });
    expect(usageBetween(before, meter.lines())).toEqual([
      { ...key, ...noUsage, requests: 1, writeUnits: 1 },
      { ...key, what: 'record', ...noUsage, requests: 1 },
    ]);
  });

  it('does not grow without bound for clients that never call themselves the same', () => {
    const meter = new UsageMeter();
    for (let at = 0; at < 5_000; at += 1) meter.add({ ...key, who: `client${at}` });
    const lines = meter.lines();
    expect(lines.length).toBeLessThanOrEqual(2_001);
    expect(lines.reduce((sum, { requests }) => sum + requests, 0)).toBe(5_000);
  });
});

describe('which items a request is about', () => {
  const text = (value: string) => ({ S: value });

  it('is read from its key', () => {
    expect(itemsOf({ Key: { pk: text('cluster#main'), sk: text('lease') } })).toBe('lease');
    expect(itemsOf({ Item: { pk: text('cluster#main#nodes'), sk: text('node1') } })).toBe('nodes');
  });

  it('is read from the value that a query compares the partition with', () => {
    expect(itemsOf({ ExpressionAttributeValues: { ':pk': text('cluster#main') } })).toBe('lease and record');
    expect(
      itemsOf({ ExpressionAttributeValues: { ':a': { N: '1' }, ':pk': text('cluster#main#events') } }),
    ).toBe('events');
  });

  it('is an index where one is read, and unknown for anything else', () => {
    expect(itemsOf({ IndexName: 'clusters' })).toBe('index clusters');
    expect(itemsOf({ TableName: 'x' })).toBe('');
  });

  it('is told apart by the application id that a client names', () => {
    const agent = 'aws-sdk-js/3.1162.0 ua/2.1 os/linux lang/js md/nodejs#24.21.0 app/node1';
    expect(applicationOf({ 'user-agent': agent })).toBe('node1');
    expect(applicationOf({ 'user-agent': 'aws-cli/2.9.19 myapp/3' })).toBe('');
    expect(applicationOf({})).toBe('');
  });
});
