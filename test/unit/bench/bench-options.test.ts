/** The command lines of `npm run bench`: what is taken, and that what is not is named. */
import { describe, expect, test } from 'vitest';
import { failoverSuite } from '../../../bench/failover/failover-suite.ts';
import { InvalidOption, readModes, readNumber, readSome } from '../../../bench/read-options.ts';
import { systemsWith } from '../../../bench/systems/all-systems.ts';
import { readDsns } from '../../../bench/systems/deployed.ts';

const scenarios = ['switchover', 'host-killed', 'store-away'] as const;

describe('names with commas', () => {
  test('are each taken once, in the order that tables have', () => {
    expect(readSome('scenarios', 'store-away,switchover,switchover', scenarios)).toEqual([
      'switchover',
      'store-away',
    ]);
  });

  test('all is each of them', () => {
    expect(readSome('scenarios', 'all', scenarios)).toEqual(scenarios);
    expect(readModes('all')).toEqual(['off', 'on', 'strict']);
  });

  test.each(['switch', 'switchover,', '', 'switchover host-killed'])('"%s" is refused', (value) => {
    expect(() => readSome('scenarios', value, scenarios)).toThrow(
      new InvalidOption('scenarios', value, 'all, or of switchover, host-killed, store-away'),
    );
  });
});

test.each(['0', '-1', 'x', '', 'Infinity', '1e999'])('a rate of "%s" is refused', (value) => {
  expect(() => readNumber('rate', value)).toThrow(InvalidOption);
});

test.each(['0', '1.5', '-1'])('"%s" runs are refused', (value) => {
  expect(() => readNumber('runs', value, { least: 1, whole: true })).toThrow(InvalidOption);
});

describe('DSNs of a deployed cluster', () => {
  test('a path has one, multi-host one for each node in the order in which they are tried', () => {
    const dsns = ['multi-host=postgres://a/x', 'endpoint=postgres://e:6432/x', 'multi-host=postgres://b/x'];
    expect(readDsns(dsns)).toEqual({
      endpoint: ['postgres://e:6432/x'],
      'multi-host': ['postgres://a/x', 'postgres://b/x'],
    });
  });

  test.each(['postgres://a/x', 'endpoint=', 'endpoint=host', 'direct=postgres://a/x'])(
    '%s is refused',
    (dsn) => {
      expect(() => readDsns([dsn])).toThrow(InvalidOption);
    },
  );

  test('a password is not repeated in what is said about it', () => {
    const twice = ['endpoint=postgres://me@a/x', 'endpoint=postgres://me:s3cr3t@a/x'];
    expect(() => readDsns(twice)).toThrow(/^(?!.*s3cr3t).*each path once/);
  });

  test('a path that is given twice is refused', () => {
    expect(() => readDsns(['haproxy=postgres://a/x', 'haproxy=postgres://b/x'])).toThrow(InvalidOption);
  });
});

test('a peer that there is not is refused, and Leasehold is always measured', () => {
  expect(() => systemsWith(['oracle'])).toThrow(InvalidOption);
  expect(systemsWith([]).map(({ name }) => name)).toEqual(['leasehold']);
});

test.each([
  ['peers', { peers: 'patroni', dsn: ['endpoint=postgres://a/x'] }],
  ['ask', { ask: 'arn:aws:states:eu-west-1:1:stateMachine:x' }],
  ['latency', { latency: 'slow' }],
  ['modes', { modes: 'sync' }],
  ['ttl', { ttl: '2.9' }],
  ['ttl', { ttl: '61' }],
  ['ttl', { ttl: 'long' }],
  ['ttl', { ttl: '20', dsn: ['endpoint=postgres://a/x'] }],
])('--%s that does not fit keeps the suite from measuring', async (option, given) => {
  const options = { ...failoverSuite.command().opts(), ...given };
  await expect(failoverSuite.run(options, AbortSignal.abort(), [])).rejects.toThrow(`--${option} `);
});
