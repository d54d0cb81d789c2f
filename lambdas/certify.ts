/**
 * Signs hosts' certificates, as a Lambda function: each minute, every cluster that requires TLS. The one function that can read the
 * authorities' private keys. One cluster that fails does not keep the others waiting; what fails, and a certificate that is about to
 * expire, is an error of the invocation, on which an alarm is set.
 */
import { createAuthoritySecrets } from '../adapters/aws/authority-secrets.ts';
import { createCertificateStore } from '../adapters/aws/certificate-items.ts';
import {
  type CertifyDeps,
  certifyCluster,
  type KnownAuthorities,
} from '../adapters/workflow/certify-cluster.ts';
import { listClusters } from '../adapters/workflow/list-clusters.ts';
import { parseSentinelInput } from '../adapters/workflow/parse-state-input.ts';
import { authorityPolicy } from '../core/tls/plan-authorities.ts';
import { readAuthorityEnvironment } from './environment.ts';
import { type Wiring, wireFunction } from './wire-function.ts';

/** So many clusters at a time: one that does not require TLS is a small read. */
const concurrency = 20;
const known: KnownAuthorities = new Map();
let deps: CertifyDeps | null = null;

export const handler = wireFunction('certify', [], async (wiring, event) => {
  deps ??= depsOf(wiring);
  const depsOnce = deps;
  const { cluster } = parseSentinelInput(event);
  const clusters =
    cluster === null ? await listClusters(wiring.client, wiring.environment.tableName) : [cluster];
  const signed: string[] = [];
  const failed: string[] = [];
  for (let first = 0; first < clusters.length; first += concurrency) {
    const some = clusters.slice(first, first + concurrency);
    await Promise.all(some.map((one) => certify(depsOnce, one, { signed, failed })));
  }
  if (failed.length > 0) throw new Error(failed.join('; ').slice(0, 2000));
  return { clusters: clusters.length, signed };
});

async function certify(
  deps: CertifyDeps,
  cluster: string,
  { signed, failed }: { readonly signed: string[]; readonly failed: string[] },
): Promise<void> {
  try {
    const view = await certifyCluster(deps, cluster, known);
    signed.push(...view.signed.map((node) => `${cluster}/${node}`));
    failed.push(...view.expiring.map((node) => `${cluster}/${node}: its certificate is about to expire`));
  } catch (error) {
    deps.log('error', 'a cluster could not be certified', { cluster, detail: String(error) });
    failed.push(`${cluster}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function depsOf({ deps: { storeOf, log, newId, time, who }, environment, client }: Wiring): CertifyDeps {
  const { region, tableName } = environment;
  return {
    storeOf,
    certificatesOf: (cluster) => createCertificateStore({ client, tableName, cluster }),
    authorities: createAuthoritySecrets({ region, ...readAuthorityEnvironment(process.env) }),
    policy: authorityPolicy,
    nowMs: Date.now,
    ...{ log, newId, time, who },
  };
}
