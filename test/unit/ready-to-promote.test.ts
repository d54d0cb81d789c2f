/** How long the successor of a released lease waits for log that it lacks, while clients wait for it. */
import { describe, expect, it } from 'vitest';
import { type ReadyContext, readyToPromote } from '../../agent/database/ready-to-promote.ts';
import { parseLsn } from '../../core/model/lsn.ts';

interface Row {
  readonly standby?: boolean;
  readonly replayed?: string | null;
  readonly received?: string | null;
  readonly streams?: boolean;
}

const releasedAt = parseLsn('0/2000');
const behind = { standby: true, replayed: '0/1000', received: null, streams: false };

/** A server whose answer depends on the time; each question takes 100 ms of it. */
async function ask(answerAt: (nowMs: number) => Row | null, startsAgain = async () => null as string | null) {
  let nowMs = 0;
  const context = {
    now: () => nowMs,
    server: {
      node: {
        query: async () => {
          nowMs += 100;
          const row = answerAt(nowMs);
          return row === null ? { kind: 'unreachable' } : { kind: 'rows', rows: [{ ...behind, ...row }] };
        },
      },
      look: async () => ({ postgres: { kind: 'stopped' } }),
    },
  } as unknown as ReadyContext;
  const refusal = await readyToPromote(context, releasedAt, startsAgain);
  return { refusal, afterMs: nowMs };
}

describe('the successor of a released lease', () => {
  it('is ready once its replay is past the position where the old primary stopped, and not at it', async () => {
    expect((await ask(() => ({ replayed: '0/2001' }))).refusal).toBeNull();
    expect((await ask(() => ({ replayed: '0/2000' }))).refusal).toContain('stopped at 0/2000');
  });

  it('does not wait for log that nobody can send', async () => {
    const { refusal, afterMs } = await ask(() => ({}));
    expect(refusal).toMatch(/replay is at 0\/1000, .*nobody streams the rest/);
    expect(afterMs).toBeLessThan(3_000);
  });

  it('waits while somebody streams to it', async () => {
    const { refusal } = await ask((nowMs) => (nowMs < 6_000 ? { streams: true } : { replayed: '0/2001' }));
    expect(refusal).toBeNull();
  });

  it('waits while it replays what it has, step by step', async () => {
    const { refusal } = await ask((nowMs) => ({
      replayed: nowMs < 6_000 ? `0/1${String(Math.floor(nowMs / 1000)).padStart(3, '0')}` : '0/2001',
    }));
    expect(refusal).toBeNull();
  });

  it('waits for one long record where all of the log has come', async () => {
    const { refusal } = await ask((nowMs) => ({
      received: '0/2001',
      replayed: nowMs < 6_000 ? '0/1000' : '0/2001',
    }));
    expect(refusal).toBeNull();
  });

  it('starts a server that it finds stopped, and says why when that cannot be', async () => {
    let started = false;
    const again = async () => {
      started = true;
      return null;
    };
    expect((await ask(() => (started ? { replayed: '0/2001' } : null), again)).refusal).toBeNull();
    expect(
      (
        await ask(
          () => null,
          async () => 'no such folder',
        )
      ).refusal,
    ).toBe('no such folder');
  });

  it('never promotes what is a primary already', async () => {
    expect((await ask(() => ({ standby: false }))).refusal).toContain('as a primary');
  });
});
