/**
 * A cluster's passwords, made by Secrets Manager and kept when the stack is deleted, as the data volumes are. They are what `HostSecrets`
 * in core/model/host-config.ts asks for: two logins as Secrets Manager writes those of databases, and one text.
 */
import { type Duration, RemovalPolicy, Tags, Validations } from 'aws-cdk-lib';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { SecretKind } from '../core/model/cluster-secrets.ts';
import { secretTags } from '../core/wire/parse-cluster-secrets.ts';
import { pascalCase } from './names.ts';
import type { SecretRotation } from './secret-rotation.ts';

export interface ClusterSecretsProps {
  readonly cluster: string;
  /** Default: the account's own key for Secrets Manager. */
  readonly encryptionKey?: IKey;
  /** Left out: nothing rotates them by itself. */
  readonly rotation?: { readonly by: SecretRotation; readonly every: Duration };
}

/** Letters and digits only: no file format, connection string or shell needs any of them escaped. */
const generated = { excludePunctuation: true, includeSpace: false, passwordLength: 40 };

export class ClusterSecrets extends Construct {
  /** `{"username": "postgres", "password": "..."}`. */
  readonly superuser: Secret;
  /** `{"username": "replicator", "password": "..."}`. */
  readonly replication: Secret;
  /** What agents prove themselves to one another with. */
  readonly cluster: Secret;

  constructor(scope: Construct, id: string, props: ClusterSecretsProps) {
    super(scope, id);
    this.superuser = this.#login('superuser', props, 'postgres', 'the superuser of PostgreSQL');
    this.replication = this.#login('replication', props, 'replicator', 'the user of replication');
    this.cluster = this.#secret('cluster', props, 'what the agents share', generated);
  }

  get all(): readonly Secret[] {
    return [this.superuser, this.replication, this.cluster];
  }

  #login(kind: SecretKind, props: ClusterSecretsProps, username: string, what: string): Secret {
    const secretStringTemplate = JSON.stringify({ username });
    return this.#secret(kind, props, what, {
      ...generated,
      secretStringTemplate,
      generateStringKey: 'password',
    });
  }

  #secret(kind: SecretKind, props: ClusterSecretsProps, what: string, generateSecretString: object): Secret {
    const id = pascalCase(kind);
    const secret = new Secret(this, id, {
      description: `Leasehold cluster ${props.cluster}: ${what}`,
      generateSecretString,
      encryptionKey: props.encryptionKey,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    Tags.of(secret).add(secretTags.cluster, props.cluster);
    Tags.of(secret).add(secretTags.kind, kind);
    if (props.rotation !== undefined)
      props.rotation.by.schedule(this, `${id}Rotation`, secret, props.rotation.every);
    else
      Validations.of(secret).acknowledge({
        id: 'AwsSolutions-SMG4',
        reason:
          'The owner of the cluster has asked for secrets that are rotated by hand: rotateSecrets is false.',
      });
    return secret;
  }
}
