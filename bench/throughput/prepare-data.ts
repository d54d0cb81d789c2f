/** Makes the workloads' tables in a database that is empty or was prepared by this suite before, and refuses any other. */

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { Client } from 'pg';
import { sleepMs } from '../../adapters/clock.ts';
import { type ClientPrograms, initialisePgbench } from './client-programs.ts';
import {
  bulkLine,
  markerTable,
  pgbenchStatements,
  pgbenchSteps,
  type Sizes,
  schemaStatements,
  tables,
} from './workload-schema.ts';
import type { Switches, Workload } from './workloads.ts';

const connectTimeoutMs = 10_000;
/** A statement over the whole data set. */
const longStatementMs = 3_600_000;

/** The connection is closed in any case. */
export async function withClient<T>(dsn: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({
    connectionString: dsn,
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: longStatementMs,
    application_name: 'leasehold-bench',
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

export interface Preparation {
  readonly dsn: string;
  readonly switches: Switches;
  readonly scale: number;
  readonly sizes: Sizes;
  readonly signal: AbortSignal;
}

export async function prepareData(programs: ClientPrograms, preparation: Preparation): Promise<void> {
  const { dsn, switches, sizes, signal } = preparation;
  await withClient(dsn, async (client) => {
    await refuseStrangers(client);
    for (const statement of schemaStatements(switches, sizes)) {
      signal.throwIfAborted();
      await client.query(statement);
    }
  });
  await initialisePgbench(programs, { ...preparation, steps: pgbenchSteps(switches) });
  await withClient(dsn, async (client) => {
    for (const statement of [...pgbenchStatements(switches), 'vacuum analyze']) await client.query(statement);
  });
}

/** Tables that this suite would replace, in a database that it has not prepared. */
async function refuseStrangers(client: Client): Promise<void> {
  const { rows } = await client.query<{ relname: string }>(
    "select relname from pg_class where relkind = 'r' and pg_table_is_visible(oid) and relname = any($1)",
    [[markerTable, ...tables]],
  );
  const found = rows.map(({ relname }) => relname);
  if (found.length > 0 && !found.includes(markerTable)) {
    throw new Error(
      `the database has a table ${found[0]} that this bench did not make: name an empty database in --dsn`,
    );
  }
}

/** The file that COPY loads; kept between measurements. */
export async function writeBulkFile(file: string, rows: number): Promise<void> {
  const stream = createWriteStream(file, { mode: 0o644 });
  for (let row = 1; row <= rows; row += 1) if (!stream.write(bulkLine(row))) await once(stream, 'drain');
  stream.end();
  await finished(stream);
}

const catchUpMs = 60_000;

/**
 * Brings the workload's tables to where each measurement begins: what grows is empty, what was updated is vacuumed, nothing waits for a
 * checkpoint, and standbys that are to be read have replayed it all. A checkpoint takes rights; without them it is left out.
 */
export async function freshen(dsn: string, workload: Workload): Promise<void> {
  await withClient(dsn, async (client) => {
    if (workload.growing.length > 0) await client.query(`truncate ${workload.growing.join(', ')} cascade`);
    for (const table of workload.updated) await client.query(`vacuum ${table}`);
    await client.query('checkpoint').catch((error: { code?: string }) => {
      if (error.code !== '42501') throw error;
    });
    if (workload.reads === 'standbys') await untilReplayed(client);
  });
}

async function untilReplayed(client: Client): Promise<void> {
  const untilMs = performance.now() + catchUpMs;
  const { rows } = await client.query<{ lsn: string }>('select pg_current_wal_flush_lsn()::text as lsn');
  while (performance.now() < untilMs) {
    const behind = await client.query(
      'select 1 from pg_stat_replication where replay_lsn is null or replay_lsn < $1::pg_lsn',
      [rows[0]?.lsn],
    );
    if (behind.rowCount === 0) return;
    await sleepMs(50);
  }
  throw new Error('a standby does not catch up with the primary');
}
