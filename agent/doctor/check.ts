/**
 * What a doctor's check is, and how a list of them is run and told: one line each, with what to do where something is wrong. A check that
 * throws or takes too long has failed; it never takes the others with it.
 */

export interface Finding {
  /** `warning`: it works, but should not stay so. `skipped`: cannot be told on this host. */
  readonly state: 'ok' | 'warning' | 'failed' | 'skipped';
  readonly found: string;
  /** What to do; empty where all is well. */
  readonly advice: string;
}

export interface Check {
  readonly id: string;
  readonly look: () => Promise<Finding> | Finding;
}

export interface Diagnosis extends Finding {
  readonly id: string;
}

/** Longer than any one call to a service is tried. */
const checkTimeoutMs = 10_000;

export const fine = (found: string): Finding => ({ state: 'ok', found, advice: '' });
export const skipped = (found: string): Finding => ({ state: 'skipped', found, advice: '' });
export const warning = (found: string, advice: string): Finding => ({ state: 'warning', found, advice });
export const failed = (found: string, advice: string): Finding => ({ state: 'failed', found, advice });

/** All at once: each is bounded by itself. In the order given. */
export async function diagnose(
  checks: readonly Check[],
  timeoutMs: number = checkTimeoutMs,
): Promise<Diagnosis[]> {
  return await Promise.all(
    checks.map(async (check) => ({ id: check.id, ...(await look(check, timeoutMs)) })),
  );
}

async function look(check: Check, timeoutMs: number): Promise<Finding> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Finding>((resolve) => {
    const advice = 'Something it asks hangs: a disk, a name server, a service.';
    timer = setTimeout(() => resolve(failed(`no answer within ${timeoutMs / 1000} s`, advice)), timeoutMs);
  });
  try {
    return await Promise.race([Promise.resolve(check.look()), late]);
  } catch (error) {
    return failed(
      error instanceof Error ? error.message : String(error),
      'The check itself could not be made.',
    );
  } finally {
    clearTimeout(timer);
  }
}

/** For people: `ok`, `warning`, `FAILED` or `-`, the check, what was found, what to do. */
export function tell(diagnoses: readonly Diagnosis[]): string {
  const words = { ok: 'ok', warning: 'warning', failed: 'FAILED', skipped: '-' };
  const width = Math.max(...diagnoses.map(({ id }) => id.length));
  return diagnoses
    .map(({ id, state, found, advice }) => {
      const todo = advice === '' ? '' : `. ${advice}`;
      return `${words[state].padEnd(7)}  ${id.padEnd(width)}  ${found}${todo}\n`;
    })
    .join('');
}

/** 1 when a check has failed; a warning is none. */
export function exitCodeOf(diagnoses: readonly Diagnosis[]): number {
  return diagnoses.some(({ state }) => state === 'failed') ? 1 : 0;
}
