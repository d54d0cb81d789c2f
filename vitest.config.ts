import { defineConfig } from 'vitest/config';

const kind = (name: string, options: Record<string, unknown> = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], environment: 'node', ...options },
});

// Integration tests start real servers: two files at a time are what two cores carry without falsifying deadlines.
const servers = { testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false, pool: 'forks' };

export default defineConfig({
  test: {
    projects: [
      kind('unit'),
      kind('property'),
      kind('model'),
      kind('simulation'),
      kind('style'),
      kind('infra', { testTimeout: 120_000, hookTimeout: 120_000 }),
      kind('local', { testTimeout: 60_000, hookTimeout: 60_000 }),
      kind('integration', servers),
    ],
  },
});
