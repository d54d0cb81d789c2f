/** The throughput suite's plan: what is measured in which order, how large the data is, and what a command line may say. */
import { describe, expect, it } from 'vitest';
import { chooseScale, readScale } from '../../../bench/throughput/choose-scale.ts';
import { readDsns, withoutPasswords } from '../../../bench/throughput/given-target.ts';
import { libpqEnvironment, withDatabase } from '../../../bench/throughput/libpq-environment.ts';
import { cellsOfRun, conditionsOf, saturationOf } from '../../../bench/throughput/plan-cells.ts';
import { readWanted } from '../../../bench/throughput/throughput-suite.ts';
import { schemaStatements, sizesFor, tables } from '../../../bench/throughput/workload-schema.ts';
import { workloads } from '../../../bench/throughput/workloads.ts';

const [tpcb, select] = workloads;
if (tpcb === undefined || select === undefined) throw new Error('there are workloads');

describe('the cells of a run', () => {
  const wish = {
    workloads: [tpcb, select],
    clients: [1, 2],
    runs: 2,
    pathsFor: () => ['direct', 'haproxy', 'both'],
  };
  const said = (run: number) =>
    cellsOfRun(run, wish).map(({ workload, clients, path }) => `${workload.name} ${clients} ${path}`);

  it('are every workload with every number of clients by every path, the paths next to one another', () => {
    expect(said(1)).toHaveLength(12);
    expect(said(1).slice(0, 4)).toEqual(['tpcb 1 direct', 'tpcb 1 haproxy', 'tpcb 1 both', 'tpcb 2 direct']);
  });

  it('begin with another path in each run, so that none is always the first', () => {
    expect([1, 2, 3, 4].map((run) => said(run)[0])).toEqual([
      'tpcb 1 direct',
      'tpcb 1 haproxy',
      'tpcb 1 both',
      'tpcb 1 direct',
    ]);
  });

  it('are none for a workload that no path leads to', () => {
    expect(cellsOfRun(1, { ...wish, pathsFor: () => [] })).toEqual([]);
  });
});

describe('runs with and without the agents', () => {
  it('alternate in a way that a drift hits both alike', () => {
    expect(conditionsOf(2, true)).toEqual([
      { run: 1, condition: 'with-agent' },
      { run: 1, condition: 'without-agent' },
      { run: 2, condition: 'without-agent' },
      { run: 2, condition: 'with-agent' },
    ]);
    expect(conditionsOf(2, false).map(({ condition }) => condition)).toEqual(['with-agent', 'with-agent']);
  });
});

describe('the point of saturation', () => {
  const points = (...rates: number[]) => rates.map((rate, at) => ({ clients: 2 ** at, rate }));

  it('is the fewest clients that come close to the most', () => {
    expect(saturationOf(points(100, 190, 300, 310, 290))).toEqual({ kind: 'reached', clients: 4 });
  });

  it('is not reached while the last step still brings more, and unknown where a bend cannot show', () => {
    expect(saturationOf(points(100, 200, 400))).toEqual({ kind: 'not-reached' });
    expect(saturationOf(points(100, 100))).toEqual({ kind: 'unknown' });
  });
});

describe('the scale', () => {
  const gib = 2 ** 30;
  const facts = { sharedBuffersBytes: gib / 8, memoryBytes: 16 * gib, freeDiskBytes: 200 * gib, copies: 3 };

  it('is the number that was asked for, or exceeds the memory that was named', () => {
    expect(chooseScale(readScale('25'), facts)).toBe(25);
    expect(chooseScale('beyond-buffers', facts) * 15).toBeGreaterThanOrEqual(4 * 128);
    expect(chooseScale('beyond-memory', facts) * 15).toBeGreaterThanOrEqual(1.5 * 16 * 1024);
  });

  it('is refused where the disk is too small for all copies, with what it would take', () => {
    expect(() => chooseScale('beyond-memory', { ...facts, freeDiskBytes: 50 * gib })).toThrow(
      /scale 1639 needs 115\.2 GiB of disk for 3 nodes, and 50\.0 GiB are free/,
    );
  });

  it('is refused where it is no scale', () => {
    for (const bad of ['', '0', '1.5', 'huge']) expect(() => readScale(bad)).toThrow('--scale');
  });
});

describe('the tables', () => {
  const switches = { indexes: false, foreignKeys: false, explicitTransactions: false };
  const sql = (more: Partial<typeof switches>) =>
    schemaStatements({ ...switches, ...more }, sizesFor(1)).join('\n');

  it('have secondary indexes and foreign keys only where they are asked for', () => {
    expect(sql({})).not.toMatch(/create index|references/);
    expect(sql({ indexes: true })).toMatch(/create index on bench_payments/);
    expect(sql({ foreignKeys: true })).toMatch(/payer_id bigint not null references bench_customers/);
  });

  it('are all removed before they are made anew', () => {
    const made = [...sql({}).matchAll(/create table (bench_\w+)/g)].map((match) => match[1]);
    expect(tables).toEqual(expect.arrayContaining(made));
  });

  it('hold every table that a workload empties or vacuums', () => {
    for (const { growing, updated } of workloads)
      expect(tables).toEqual(expect.arrayContaining([...growing, ...updated]));
  });
});

describe('the scripts', () => {
  it('put a transaction around their statements only where it is asked for', () => {
    for (const { load } of workloads) {
      if (load.kind !== 'scripts') continue;
      const text = (explicitTransactions: boolean) =>
        load.scripts({ indexes: false, foreignKeys: false, explicitTransactions }).map((one) => one.text);
      for (const one of text(false)) expect(one).not.toMatch(/BEGIN|COMMIT/);
      for (const one of text(true)) expect(one).toMatch(/BEGIN;\n[^\\][\s\S]*COMMIT;\n$/);
    }
  });
});

describe('a DSN', () => {
  it('becomes the environment of PostgreSQL clients, the password unescaped', () => {
    expect(libpqEnvironment('postgres://me:p%40ss@[::1]:6432/shop?sslmode=require')).toEqual({
      PGHOST: '::1',
      PGPORT: '6432',
      PGUSER: 'me',
      PGPASSWORD: 'p@ss',
      PGDATABASE: 'shop',
      PGSSLMODE: 'require',
    });
    expect(withDatabase('postgres://me:p%40ss@host:1/postgres', 'bench')).toBe(
      'postgres://me:p%40ss@host:1/bench',
    );
  });

  it('is refused without its password in the message', () => {
    expect(() => readDsns(['direct=mysql://me:secret@host/db'])).toThrow(/^--dsn direct: not a DSN/);
    expect(() => readDsns(['direct=postgres://me:secret@host/db?pool=3'])).toThrow(/parameter pool/);
    for (const bad of ['mysql://me:secret@host/db', 'postgres://me:secret@host/db?pool=3']) {
      expect(() => readDsns([`direct=${bad}`])).not.toThrow(/secret/);
    }
  });

  it('needs a name of its own, and one of them the primary', () => {
    const dsn = 'postgres://me@host/db';
    expect(() => readDsns([dsn])).toThrow('path=postgres://');
    expect(() => readDsns([`a=${dsn}`, `a=${dsn}`])).toThrow('--dsn a: given twice');
    expect(() => readDsns([`replicas=${dsn}`])).toThrow('one that leads to the primary');
    expect(readDsns([`a=${dsn}`, `replicas=${dsn}`]).map(({ serves }) => serves)).toEqual([
      'primary',
      'standbys',
    ]);
  });

  it('is kept in a command line without its password', () => {
    expect(withoutPasswords('bench --dsn a=postgres://me:se:cret@h/db --dsn b=postgresql://me@h/db')).toBe(
      'bench --dsn a=postgres://me:...@h/db --dsn b=postgresql://me@h/db',
    );
  });
});

describe('the options', () => {
  const options = {
    workloads: 'all',
    paths: 'all',
    clients: '8,1,8',
    modes: 'off,strict',
    runs: '3',
    seconds: '10',
    warmUp: '0',
    scale: 'beyond-buffers',
    sampling: '1',
    dsn: [],
    indexes: false,
    foreignKeys: true,
    explicitTransactions: false,
    withoutAgent: true,
  };

  it('are read into what is wanted, the ramp ascending', () => {
    expect(readWanted(options)).toMatchObject({
      clients: [1, 8],
      modes: ['off', 'strict'],
      rate: null,
      scale: 'beyond-buffers',
      switches: { foreignKeys: true },
      workloads: { length: workloads.length },
    });
  });

  it('are refused by name, with what they take', () => {
    const refused = (more: Partial<typeof options> | { sharedBuffers: string }) => () =>
      readWanted({ ...options, ...more });
    expect(refused({ clients: '4,0' })).toThrow('--clients 4,0: numbers from 1');
    expect(refused({ runs: '0' })).toThrow('--runs 0');
    expect(refused({ sampling: '2' })).toThrow('--sampling 2');
    expect(refused({ sharedBuffers: 'lots' })).toThrow('--shared-buffers lots');
    expect(refused({ workloads: 'tpcb,nap' })).toThrow('--workloads tpcb,nap');
    expect(refused({ paths: 'both' })).toThrow('direct is needed with --without-agent');
    expect(refused({ dsn: ['a=postgres://me@h/db'] as never })).toThrow(
      '--without-agent: only for a cluster',
    );
  });
});
