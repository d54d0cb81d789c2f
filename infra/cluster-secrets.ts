/**
 * A cluster's passwords, made by Secrets Manager and kept when the stack is deleted, as the data volumes are. They are what `HostSecrets`
 * in core/model/host-config.ts asks for: two logins as Secrets Manager writes those of databases, and one text.
 */
import { RemovalPolicy, Validations } from 'aws-cdk-lib';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';

export interface ClusterSecretsProps {
  readonly cluster: string;
  /** Default: the account's own key for Secrets Manager. */
  readonly encryptionKey?: IKey;
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
    this.superuser = this.#login('Superuser', props, 'postgres', 'the superuser of PostgreSQL');
    this.replication = this.#login('Replication', props, 'replicator', 'the user of replication');
    this.cluster = this.#secret('Cluster', props, 'what the agents share', generated);
  }

  get all(): readonly Secret[] {
    return [this.superuser, this.replication, this.cluster];
  }

  #login(id: string, props: ClusterSecretsProps, username: string, what: string): Secret {
    const secretStringTemplate = JSON.stringify({ username });
    return this.#secret(id, props, what, {
      ...generated,
      secretStringTemplate,
      generateStringKey: 'password',
    });
  }

  #secret(id: string, props: ClusterSecretsProps, what: string, generateSecretString: object): Secret {
    const secret = new Secret(this, id, {
      description: `Leasehold cluster ${props.cluster}: ${what}`,
      generateSecretString,
      encryptionKey: props.encryptionKey,
      removalPolicy: RemovalPolicy.RETAIN,
    });
    Validations.of(secret).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason:
        'Nothing rotates these yet: a rotation has to reach every host, and to wait for an operation to end.',
    });
    return secret;
  }
}
