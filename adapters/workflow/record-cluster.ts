/**
 * The cluster's record in DynamoDB, made from the cluster file: created once, and its specification brought up to date when the
 * file has changed since, but for whether TLS is required, which is for good. Everything else in it belongs to agents and workflow.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';

import { adoptionPrefix, type Bootstrap, type ClusterRecord } from '../../core/model/cluster-record.ts';
import type { NodeId } from '../../core/model/lease.ts';
import { formatSystemIdentifier, type SystemIdentifier } from '../../core/model/system-identifier.ts';
import { InvalidInput } from '../../core/wire/fields.ts';

import type { ClusterFile } from '../../core/wire/parse-cluster-file.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';

const maxAttempts = 20;

export type Recorded = 'created' | 'changed' | 'as-it-was';

/** The data of this node, of this system, is to be the cluster's first. */
export interface AdoptionOrder {
  readonly node: NodeId;
  readonly systemIdentifier: SystemIdentifier;
}

/** What is recorded contradicts what is asked for. */
export class AdoptionRefused extends Error {}

/**
 * Throws when the store does not answer, or others keep changing the record; AdoptionRefused where the cluster has data, or somebody makes
 * it. An adoption that was not carried out yet may be replaced by another one.
 */
export async function ensureClusterRecord(
  store: ClusterStore,
  file: Pick<ClusterFile, 'cluster' | 'spec' | 'proxies'>,
  adoption: AdoptionOrder | null = null,
): Promise<Recorded> {
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    const head = await store.readHead();
    if (head.kind !== 'ok') throw new Error(`DynamoDB: ${head.kind}: ${head.message}`);
    const { record } = head.value;
    const bootstrap = record === null ? claimOf(adoption) : adoptedInto(record, adoption);
    const same = bootstrap === undefined || isDeepStrictEqual(bootstrap, record?.bootstrap);
    if (record !== null && same && isUpToDate(record, file)) return 'as-it-was';
    if (record !== null) refuseOtherTls(record, file);
    const done =
      record === null
        ? await store.createRecord({ ...newRecord(file), bootstrap: bootstrap ?? null })
        : await store.updateRecord({
            expect: { version: record.version },
            set: { ...specified(file), ...(bootstrap === undefined ? {} : { bootstrap }) },
          });
    if (done.kind === 'ok') return record === null ? 'created' : 'changed';
    if (done.kind !== 'refused') throw new Error(`DynamoDB: ${done.kind}: ${done.message}`);
  }
  throw new Error('the cluster record is changed by others all the time');
}

/** Hosts would be told one after the other, and refuse one another meanwhile. */
function refuseOtherTls({ spec }: ClusterRecord, file: Pick<ClusterFile, 'spec'>): void {
  if (spec.tls.mode !== file.spec.tls.mode)
    throw new InvalidInput(
      'tls.mode',
      file.spec.tls.mode,
      `"${spec.tls.mode}", as when the cluster was recorded: it cannot be changed`,
    );
}

function claimOf(adoption: AdoptionOrder | null): Bootstrap | null {
  if (adoption === null) return null;
  const { node, systemIdentifier } = adoption;
  return { node, nonce: `${adoptionPrefix}${randomUUID()}`, seq: 1, adopts: systemIdentifier };
}

/** The bootstrap that the record is to have; undefined: nothing is asked for. */
function adoptedInto(record: ClusterRecord, adoption: AdoptionOrder | null): Bootstrap | null | undefined {
  if (adoption === null) return undefined;
  const { bootstrap, systemIdentifier } = record;
  const isIt = bootstrap?.node === adoption.node && bootstrap.adopts === adoption.systemIdentifier;
  if (isIt) return bootstrap;
  if (systemIdentifier !== null)
    throw new AdoptionRefused(`the cluster has its data: system ${formatSystemIdentifier(systemIdentifier)}`);
  if (bootstrap !== null && bootstrap.adopts === undefined)
    throw new AdoptionRefused(`${bootstrap.node} makes the first data directory already`);
  return claimOf(adoption);
}

/** What of the record comes from the file. */
function specified(file: Pick<ClusterFile, 'spec' | 'proxies'>) {
  return { spec: file.spec, proxies: file.proxies.map(({ id }) => id) };
}

function isUpToDate(record: ClusterRecord, file: Pick<ClusterFile, 'spec' | 'proxies'>): boolean {
  return isDeepStrictEqual({ spec: record.spec, proxies: [...record.proxies] }, specified(file));
}

/** The record of a cluster that nobody has bootstrapped yet; its uid is new. */
export function newRecord(file: Pick<ClusterFile, 'cluster' | 'spec' | 'proxies'>): ClusterRecord {
  return {
    cluster: file.cluster,
    uid: randomBytes(4).toString('hex'),
    version: 1,
    spec: file.spec,
    members: [],
    proxies: file.proxies.map(({ id }) => id),
    systemIdentifier: null,
    bootstrap: null,
    failoverState: 'stable',
    operation: null,
    attempt: 0,
    intendedPrimary: null,
    failoverTargetPrimary: null,
    lastFailover: null,
    epochs: [],
    paused: false,
    fencedHosts: [],
  };
}
