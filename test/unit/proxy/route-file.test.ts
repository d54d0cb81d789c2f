/** The route on disk: clients never wait for it, and one that could not be written is written as soon as that can be. */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RouteFile } from '../../../adapters/proxy/route-file.ts';

const route = { nodeId: 'node2', host: '10.0.0.2', port: 5432, restPort: 8008, epoch: 2 };
let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'leasehold-route-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

it('is remembered by whoever comes after', async () => {
  const file = await RouteFile.open(folder, () => undefined);
  expect(file.remembered()).toEqual({ newestEpoch: 0, route: null });
  file.remember({ newestEpoch: 2, route });
  expect(file.remembered().newestEpoch).toBe(2);
  await file.save();
  const next = await RouteFile.open(folder, () => undefined);
  expect(next.remembered()).toEqual({ newestEpoch: 2, route });
});

it('is written again after a write that failed, although nothing has changed; said once', async () => {
  const said: string[] = [];
  const file = await RouteFile.open(folder, (detail) => said.push(detail));
  // Where the draft should be there is something that cannot be removed as a file.
  const path = join(folder, 'route.json');
  await mkdir(`${path}.new`);
  file.remember({ newestEpoch: 2, route });
  await file.save();
  await file.save();
  expect(said).toHaveLength(1);
  await rm(`${path}.new`, { recursive: true });
  file.remember({ newestEpoch: 2, route });
  await file.save();
  expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({ newestEpoch: 2, route });
});
