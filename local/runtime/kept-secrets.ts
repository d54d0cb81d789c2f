/** A cluster's secrets in the embedded Secrets Manager: made of what its state holds, and from then on whatever rotations made of them. */
import { type SecretKind, secretKinds } from '../../core/model/cluster-secrets.ts';
import type { SecretIds } from '../../core/model/host-config.ts';
import { readSecretText, secretTags } from '../../core/wire/parse-cluster-secrets.ts';
import type { NewSecret } from '../aws/secrets-manager.ts';
import type { ClusterState } from './cluster-state.ts';

/** By name, as the cluster's owner would find them. */
export function secretIdsOf(cluster: string): SecretIds {
  const id = (kind: SecretKind) => `leasehold/${cluster}/${kind}`;
  return { superuser: id('superuser'), replication: id('replication'), cluster: id('cluster') };
}

/** As CloudFormation would make them. */
export function firstSecrets({ cluster, secrets }: ClusterState): Omit<NewSecret, 'rotationFunctionArn'>[] {
  const ids = secretIdsOf(cluster);
  return secretKinds.map((kind) => {
    const login = kind === 'cluster' ? null : secrets[kind];
    return {
      name: ids[kind],
      text:
        login === null ? secrets.cluster : JSON.stringify({ username: login.name, password: login.password }),
      tags: { [secretTags.cluster]: cluster, [secretTags.kind]: kind },
    };
  });
}

/** `text`: of the superuser's secret; null where there is none here. */
export function currentSuperuser(text: string | null, { secrets }: ClusterState) {
  if (text === null) return secrets.superuser;
  const { username, password } = readSecretText(text);
  return { name: username ?? secrets.superuser.name, password };
}
