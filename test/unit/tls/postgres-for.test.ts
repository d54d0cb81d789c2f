/** When a host's PostgreSQL is given TLS: never in the clear where it is required, whatever cannot be read at the moment. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { tlsFilesIn } from '../../../adapters/tls/tls-folder.ts';
import { postgresFor } from '../../../agent/database/postgres-for.ts';
import { tlsFolder } from '../../../agent/paths.ts';
import type { DatabaseHostConfig } from '../../../core/model/host-config.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'leasehold-'));
  mkdirSync(join(folder, 'data'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const config = (): DatabaseHostConfig =>
  ({
    ...{ role: 'database', cluster: 'main', node: 'node1', folder, runAs: null },
    postgres: { binDir: '/usr/lib/postgresql/15/bin', port: 5432, listen: '127.0.0.1', settings: {} },
    secrets: {
      superuser: { name: 'postgres', password: 'a' },
      replication: { name: 'replicator', password: 'b' },
    },
  }) as unknown as DatabaseHostConfig;
const tlsOf = (required: () => boolean | null) =>
  postgresFor(config(), undefined, required).host.tls?.() ?? null;

test('a server has no TLS where it is not required', () => {
  expect(tlsOf(() => false)).toBeNull();
});

test('where TLS is required a server has it, also before there is a certificate: then it does not start', () => {
  expect(tlsOf(() => true)).toEqual(tlsFilesIn(tlsFolder(config())));
});

test('a host that has a certificate keeps TLS while its record cannot be read', () => {
  haveCertificate();
  expect(tlsOf(() => null)).toEqual(tlsFilesIn(tlsFolder(config())));
});

test('the certificate of a former cluster on its volume does not ask for TLS where the record says that there is none', () => {
  haveCertificate();
  expect(tlsOf(() => false)).toBeNull();
});

function haveCertificate(): void {
  const current = join(tlsFolder(config()), 'current');
  mkdirSync(current, { recursive: true });
  writeFileSync(join(current, 'certificate.pem'), '');
}
