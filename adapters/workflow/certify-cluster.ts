/**
 * Each minute: which hosts of a cluster ask for a certificate, and are there still authorities enough? Signs what
 * `core/tls/plan-certificate.ts` says, and never what a request says of itself. An authority is made once and read again before it signs,
 * so that two functions at once come to the same one.
 */
import type { ClusterRecord } from '../../core/model/cluster-record.ts';
import type { Authority, CertificateRequest, HostCertificate, HostRole } from '../../core/model/tls.ts';
import { expiryState } from '../../core/tls/decide-certificate.ts';
import {
  type AuthorityPlan,
  type AuthorityPolicy,
  planAuthorities,
} from '../../core/tls/plan-authorities.ts';
import {
  type CertificateDecision,
  certificateNames,
  planCertificate,
  whereIs,
} from '../../core/tls/plan-certificate.ts';
import type { AuthoritySecrets } from '../aws/authority-secrets.ts';
import type { CertificateStore } from '../aws/certificate-items.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import { bundleOf, makeAuthority, proofHolds, signCertificate } from '../tls/certificate-maker.ts';
import type { WorkflowDeps } from './ports.ts';
import { emit } from './progress.ts';
import { need, needOrRefused } from './workflow-error.ts';

type Store = Pick<ClusterStore, 'readHead' | 'readNodes' | 'readProxies' | 'putEvent'>;

export interface CertifyDeps extends Pick<WorkflowDeps, 'log' | 'newId' | 'time' | 'who'> {
  readonly storeOf: (cluster: string) => Store;
  readonly certificatesOf: (cluster: string) => CertificateStore;
  readonly authorities: AuthoritySecrets;
  readonly policy: AuthorityPolicy;
  /** Milliseconds since 1970: certificates are bound to the wall clock. */
  readonly nowMs: () => number;
}

/** What was read of a cluster's authorities, by cluster: as long as this process lives, an hour at most. */
export type KnownAuthorities = Map<
  string,
  { readonly authorities: readonly Authority[]; readonly readAtMs: number }
>;

export interface CertifyView {
  readonly cluster: string;
  readonly signed: readonly string[];
  readonly refused: readonly string[];
  /** Hosts of the record whose certificate is not renewed in time. */
  readonly expiring: readonly string[];
}

const rereadAfterMs = 3_600_000;
const roles: readonly HostRole[] = ['database', 'proxy'];

/** Throws the store's errors: the next minute tries again. */
export async function certifyCluster(
  deps: CertifyDeps,
  cluster: string,
  known: KnownAuthorities,
): Promise<CertifyView> {
  const view = { cluster, signed: [] as string[], refused: [] as string[], expiring: [] as string[] };
  const store = deps.storeOf(cluster);
  const { record } = need(await store.readHead());
  if (record === null || record.spec.tls.mode === 'off') return view;
  const certificates = deps.certificatesOf(cluster);
  const requests = await readRequests(deps, certificates, cluster);
  const issued = new Map(need(await certificates.readCertificates()).map((one) => [one.node, one]));
  const nowMs = deps.nowMs();
  if (requests.length > 0) {
    const hosts = await readHosts(store, record);
    let plan = await settledAuthorities(deps, cluster, known, nowMs);
    for (const { role, request } of requests) {
      const before = issued.get(request.node) ?? null;
      const question = { deps, record, hosts, nowMs, role, request, before };
      if (plan.remembered && changes(decide({ ...question, plan }))) {
        // Another function may know of others: what one of them gave out, the next must not take back.
        known.delete(cluster);
        plan = await settledAuthorities(deps, cluster, known, nowMs);
      }
      const done = await answer({ ...question, plan });
      if (done === 'refused') view.refused.push(request.node);
      if (done === 'none' || done === 'refused') continue;
      need(await certificates.putCertificate(done));
      issued.set(done.node, done);
      view.signed.push(request.node);
    }
  }
  // Whether or not they ask: a request that cannot be read is none.
  for (const certificate of issued.values())
    if (isExpiring(record, certificate, nowMs)) view.expiring.push(certificate.node);
  return view;
}

async function readHosts(store: Store, record: ClusterRecord): Promise<Question['hosts']> {
  return {
    databases: new Map(need(await store.readNodes()).map(({ node, addresses }) => [node, addresses.host])),
    proxies: new Map(need(await store.readProxies()).map(({ proxy, addresses }) => [proxy, addresses.host])),
    recordedMembers: record.members,
    recordedProxies: record.proxies,
  };
}

/** A host that was taken out of the cluster may leave a certificate behind, which nobody misses. */
function isExpiring({ members, proxies }: ClusterRecord, before: HostCertificate, nowMs: number): boolean {
  const belongs = members.includes(before.node) || proxies.includes(before.node);
  return belongs && expiryState(before, nowMs) !== 'ok';
}

async function readRequests(deps: CertifyDeps, certificates: CertificateStore, cluster: string) {
  const all: { readonly role: HostRole; readonly request: CertificateRequest }[] = [];
  for (const role of roles) {
    const onMalformed = (error: unknown): void =>
      deps.log('warn', 'a certificate request cannot be read', { cluster, role, detail: String(error) });
    const requests = need(await certificates.readRequests(role, onMalformed));
    all.push(...requests.map((request) => ({ role, request })));
  }
  return all;
}

interface Question {
  readonly deps: CertifyDeps;
  readonly record: ClusterRecord;
  readonly plan: Settled;
  readonly hosts: Parameters<typeof whereIs>[2];
  readonly nowMs: number;
  readonly role: HostRole;
  readonly request: CertificateRequest;
  readonly before: HostCertificate | null;
}

function decide({ record, plan, hosts, role, request, before }: Question) {
  const { cluster, spec } = record;
  const place = whereIs(request.node, role, hosts);
  const names = certificateNames(cluster, request.node, place.address ?? '', spec.tls);
  const authorities = bundleOf(plan.trusted);
  const decision = planCertificate({
    request,
    proofHolds: proofHolds(cluster, role, request),
    issued: before,
    ...place,
    names,
    trusted: plan.trusted.map(({ id }) => id),
    authorities,
  });
  return { ...decision, names, authorities };
}

function changes({ action }: Pick<CertificateDecision, 'action'>): boolean {
  return action === 'sign' || action === 'distribute';
}

async function answer(question: Question): Promise<HostCertificate | 'none' | 'refused'> {
  const { deps, record, plan, nowMs, role, request, before } = question;
  const { cluster, spec } = record;
  const { rule, action, reason, names, authorities } = decide(question);
  const about = { cluster, node: request.node, role, rule, reason };
  if (action === 'none') return 'none';
  if (action === 'refuse') {
    deps.log('warn', 'certificate refused', about);
    return 'refused';
  }
  if (action === 'distribute' && before !== null) {
    deps.log('info', 'authorities distributed', about);
    return { ...before, authorities };
  }
  const { lifetimeMs } = spec.tls;
  const signed = await signCertificate(request, {
    authority: plan.signing,
    authorities,
    names,
    lifetimeMs,
    nowMs,
  });
  deps.log('info', 'certificate signed', { ...about, names, expires_at_ms: signed.expiresAtMs });
  return signed;
}

interface Settled {
  /** Read in an earlier run. */
  readonly remembered: boolean;
  readonly signing: Authority;
  readonly trusted: AuthorityPlan['trusted'];
}

/** Makes what is missing, and goes on with what is stored then. */
async function settledAuthorities(
  deps: CertifyDeps,
  cluster: string,
  known: KnownAuthorities,
  nowMs: number,
): Promise<Settled> {
  const kept = known.get(cluster);
  const fresh = kept !== undefined && nowMs - kept.readAtMs < rereadAfterMs;
  let stored = fresh ? kept.authorities : need(await deps.authorities.read(cluster));
  let plan = planAuthorities(stored ?? [], nowMs, deps.policy);
  if (plan.make) {
    // Never on what was remembered: another function may have made it.
    stored = need(await deps.authorities.read(cluster));
    plan = planAuthorities(stored ?? [], nowMs, deps.policy);
  }
  if (plan.make) {
    const made = await makeAuthority(cluster, nowMs, deps.policy.lifetimeMs);
    if (stored === null) needOrRefused(await deps.authorities.create(cluster, [made]));
    else need(await deps.authorities.replace(cluster, [made, ...plan.trusted]));
    await tellOfAuthority(deps, cluster, plan.rule, nowMs);
    stored = need(await deps.authorities.read(cluster));
    plan = planAuthorities(stored ?? [], nowMs, deps.policy);
  }
  if (plan.signing === null || stored === null) {
    known.delete(cluster);
    throw new Error(`the authority of ${cluster} was made and is not there`);
  }
  const remembered = fresh && stored === kept.authorities;
  if (!remembered) known.set(cluster, { authorities: stored, readAtMs: nowMs });
  return { remembered, signing: plan.signing, trusted: plan.trusted };
}

/** Whoever verifies certificates has to have the next authority before it signs, and no agent of ours is there to see to it. */
async function tellOfAuthority(
  deps: CertifyDeps,
  cluster: string,
  rule: AuthorityPlan['rule'],
  nowMs: number,
): Promise<void> {
  const signsFrom = new Date(nowMs + deps.policy.distributeMs).toISOString().slice(0, 10);
  const message =
    rule === 'first-authority'
      ? 'the cluster has a new certificate authority: clients fetch it by `leasehold authorities`'
      : `the next certificate authority was made, and signs from ${signsFrom}: clients need it by then`;
  await emit(deps, deps.storeOf(cluster), { kind: 'authority_made', message, rule });
}
