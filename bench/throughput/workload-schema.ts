/** The tables of the workloads: their sizes by scale, the statements that make them, and how one knows that they are the suite's. Pure. */
import type { Switches } from './workloads.ts';

/** Rows by scale, as pgbench's own scale multiplies its tables. */
export interface Sizes {
  readonly accounts: number;
  readonly customers: number;
  readonly products: number;
  readonly documents: number;
  /** Of the file that COPY loads. */
  readonly bulkRows: number;
}

export function sizesFor(scale: number): Sizes {
  return {
    accounts: scale * 100_000,
    customers: scale * 1_000,
    products: scale * 100,
    documents: scale * 100,
    bulkRows: scale * 20_000,
  };
}

/** Made first: its presence says that the tables are this suite's and may be replaced. */
export const markerTable = 'bench_made_by_leasehold';

/** In an order in which no key is in the way of a removal. */
export const tables = [
  'bench_order_lines',
  'bench_orders',
  'bench_payments',
  'bench_payment_documents',
  'bench_documents',
  'bench_bulk',
  'bench_products',
  'bench_customers',
  'pgbench_history',
  'pgbench_tellers',
  'pgbench_accounts',
  'pgbench_branches',
] as const;

/** One statement each; pgbench makes its own tables, see `pgbenchStatements`. */
export function schemaStatements(switches: Switches, sizes: Sizes): string[] {
  const references = (table: string) => (switches.foreignKeys ? ` references ${table} (id)` : '');
  const key = 'id bigint generated always as identity primary key';
  return [
    `drop table if exists ${tables.join(', ')}`,
    `create table if not exists ${markerTable} ()`,
    'create table bench_customers (id bigint primary key, name text not null)',
    `insert into bench_customers select n, 'customer ' || n from generate_series(1, ${sizes.customers}) n`,
    'create table bench_products (id bigint primary key, price bigint not null, stock bigint not null) with (fillfactor = 50)',
    `insert into bench_products select n, n % 1000, 1000000 from generate_series(1, ${sizes.products}) n`,
    `create table bench_payments (${key}, payer_id bigint not null${references('bench_customers')}, payee_id bigint not null${references('bench_customers')}, amount bigint not null, status text not null default 'new', description text not null, created_at timestamptz not null default now())`,
    `create table bench_payment_documents (${key}, body jsonb not null${
      switches.foreignKeys
        ? `, payer_id bigint generated always as ((body->>'payer')::bigint) stored references bench_customers (id)`
        : ''
    })`,
    `create table bench_orders (${key}, customer_id bigint not null${references('bench_customers')}, status text not null default 'new', created_at timestamptz not null default now()) with (fillfactor = 80)`,
    `create table bench_order_lines (order_id bigint not null${references('bench_orders')}, line int not null, product_id bigint not null${references('bench_products')}, quantity bigint not null, primary key (order_id, line))`,
    'create table bench_documents (id bigint primary key, version bigint not null, body text not null)',
    'alter table bench_documents alter column body set storage external',
    `insert into bench_documents select n, 1, repeat(md5(n::text), 512) from generate_series(1, ${sizes.documents}) n`,
    'create table bench_bulk (id bigint not null, payer_id bigint not null, amount bigint not null, description text not null)',
    ...(switches.indexes ? indexStatements : []),
  ];
}

const indexStatements = [
  'create index on bench_payments (payer_id, created_at)',
  'create index on bench_payments (payee_id)',
  'create index on bench_payments (status)',
  'create index on bench_payment_documents using gin (body jsonb_path_ops)',
  "create index on bench_payment_documents ((body->>'payer'))",
  'create index on bench_orders (customer_id, created_at)',
  'create index on bench_orders (status)',
  'create index on bench_order_lines (product_id)',
  'create index on bench_documents (version)',
  'create index on bench_bulk (id)',
  'create index on bench_bulk (payer_id)',
];

/** After pgbench has made its tables. */
export function pgbenchStatements(switches: Switches): string[] {
  if (!switches.indexes) return [];
  return ['create index on pgbench_history (aid)', 'create index on pgbench_accounts (bid)'];
}

/** pgbench's steps: drop, tables, data made by the server, vacuum, primary keys, and foreign keys where asked for. */
export function pgbenchSteps(switches: Switches): string {
  return `dtGvp${switches.foreignKeys ? 'f' : ''}`;
}

/** A line of the file that COPY loads: 100 characters or so. */
export function bulkLine(row: number): string {
  return `${row}\t${(row * 7_919) % 1_000}\t${(row * 104_729) % 100_000}\t${`payment number ${row} `.padEnd(80, '.')}\n`;
}
