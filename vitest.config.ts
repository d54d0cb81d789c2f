/**
 * One vitest project per kind of test. The kinds that start whole clusters run one file at a time: two clusters on two cores would
 * falsify one another's deadlines. All others use every core, tests of a PostgreSQL alone among them, which keep no deadline.
 */
import { defineConfig } from 'vitest/config';
import { RunReporter } from './test/reporters/run-report.ts';

const kind = (name: string, options: Record<string, unknown> = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], environment: 'node', ...options },
});

const minutes = (count: number) => ({ testTimeout: count * 60_000, hookTimeout: count * 60_000 });

/**
 * A shared machine can stand still for longer than a lease lives. The product then fences itself, rightly, and a test that
 * waits for a switchover fails: it is tried once more. What fails twice is a fault.
 */
const once = { retry: 1 };

/** Integration tests that start PostgreSQL and no agent. */
const postgresAlone = ['initialise', 'lifecycle', 'observe', 'receiver', 'rewind'].map(
  (what) => `test/integration/postgres-${what}.test.ts`,
);

export default defineConfig({
  test: {
    maxWorkers: '100%',
    reporters: ['default', new RunReporter()],
    // A skip must name its reason in the run's report: `context.skip('needs Docker')`.
    projects: [
      kind('unit'),
      kind('property', minutes(1)),
      kind('model', minutes(2)),
      kind('simulation', minutes(2)),
      kind('style', minutes(1)),
      kind('infra', minutes(2)),
      kind('local', { ...minutes(1), ...once }),
      kind('postgres', { ...minutes(2), ...once, include: postgresAlone, pool: 'forks' }),
      kind('integration', {
        ...minutes(2),
        ...once,
        exclude: postgresAlone,
        fileParallelism: false,
        pool: 'forks',
      }),
      // Fetching an image and deploying take minutes.
      kind('localstack', { ...minutes(20), fileParallelism: false, pool: 'forks' }),
      kind('chaos', { ...minutes(4), ...once, fileParallelism: false, pool: 'forks' }),
    ],
  },
});
