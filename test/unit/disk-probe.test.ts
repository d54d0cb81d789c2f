/** The probe of a disk, with real programs and files: what it finds, what it leaves behind, and what does not hold it up. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { probeDisk, readDiskProbe } from '../../adapters/postgres/disk-probe.ts';
import type { PostgresHost } from '../../adapters/postgres/host.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function dataDirectory(): PostgresHost {
  const dataDir = mkdtempSync(join(tmpdir(), 'leasehold-probe-'));
  folders.push(dataDir);
  mkdirSync(join(dataDir, 'pg_stat_tmp'));
  mkdirSync(join(dataDir, 'pg_wal'));
  return { dataDir, runAs: null } as PostgresHost;
}

const probe = (host: PostgresHost, deadlineMs = 10_000, leastFreeBytes = 0) =>
  probeDisk(host, { deadlineMs, leastFreeBytes });

describe('a probe of the disk', () => {
  it('writes, syncs, says how much is free, and leaves nothing behind', async () => {
    const host = dataDirectory();
    const result = await probe(host).result;
    expect(result).toMatchObject({ condition: 'ok' });
    expect(result.freeBytes).toBeGreaterThan(0);
    expect(result.sizeBytes).toBeGreaterThan(result.freeBytes ?? 0);
    expect(readdirSync(join(host.dataDir, 'pg_stat_tmp'))).toEqual([]);
  });

  it('calls a disk full that has no room for one more file of the log', async () => {
    expect(await probe(dataDirectory(), 10_000, Number.MAX_SAFE_INTEGER).result).toMatchObject({
      condition: 'full',
    });
  });

  it('fails where it cannot write, naming the reason', async () => {
    const host = dataDirectory();
    rmSync(join(host.dataDir, 'pg_stat_tmp'), { recursive: true });
    expect(await probe(host).result).toMatchObject({
      condition: 'failed',
      detail: expect.stringContaining('No such file or directory'),
    });
  });

  it('asks the disk of the log too where that is another', async () => {
    const host = dataDirectory();
    rmSync(join(host.dataDir, 'pg_wal'), { recursive: true });
    symlinkSync(join(host.dataDir, 'nowhere'), join(host.dataDir, 'pg_wal'));
    expect(await probe(host).result).toMatchObject({ condition: 'failed' });
  });

  it('is frozen at its deadline when the write does not end, and knows when it has ended after all', async () => {
    const host = dataDirectory();
    const file = join(host.dataDir, 'pg_stat_tmp', 'leasehold-probe');
    // Opened for writing, a FIFO waits for its reader: as good as a disk that gives no answer.
    execFileSync('mkfifo', [file]);
    const asked = probe(host, 200);
    let ended = false;
    void asked.ended.then(() => {
      ended = true;
    });
    const result = await asked.result;
    expect(result).toMatchObject({ condition: 'frozen', freeBytes: null });
    expect(result.ms).toBeGreaterThanOrEqual(200);
    await asked.ended;
    expect(ended).toBe(true);
    expect(existsSync(file)).toBe(true);
  });
});

describe('what a probe printed', () => {
  it('is read by the words of the system', () => {
    const read = (text: string) => readDiskProbe(text, 1_000, 1).condition;
    expect(read("failed dd: error writing '/d/leasehold-probe': No space left on device")).toBe('full');
    expect(read("failed dd: error writing '/d/leasehold-probe': Disk quota exceeded")).toBe('full');
    expect(read("failed dd: failed to open '/d/leasehold-probe': Read-only file system")).toBe('read-only');
    expect(read("failed dd: fsync failed for '/d/leasehold-probe': Input/output error")).toBe('failed');
    expect(read('sh: 1: dd: not found')).toBe('failed');
    expect(read('')).toBe('failed');
    expect(read('free 100 4096 200\n')).toBe('ok');
  });

  it('counts for the tightest of its file systems', () => {
    const text = 'free 1000 4096 2000\nfree 10 512 1000\n';
    expect(readDiskProbe(text, 0, 1)).toMatchObject({
      freeBytes: 5_120,
      sizeBytes: 512_000,
      condition: 'ok',
    });
    expect(readDiskProbe(text, 5_121, 1)).toMatchObject({ condition: 'full' });
  });
});
