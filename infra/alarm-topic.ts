/**
 * Where alarms are heard: one SNS topic. Only the alarms of this account may publish, and only over TLS. It is encrypted at rest where a key
 * of its own is asked for: alarms cannot publish to a topic that has AWS' own key, and one costs a dollar a month.
 */
import { Stack } from 'aws-cdk-lib';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import { type ITopicSubscription, Topic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';

export interface AlarmTopicProps {
  /** Who is told: addresses, a pager, a chat. None: the alarms are seen in CloudWatch only. */
  readonly subscriptions?: readonly ITopicSubscription[];
  readonly encrypted: boolean;
}

export class AlarmTopic extends Construct {
  readonly topic: Topic;

  constructor(scope: Construct, id: string, props: AlarmTopicProps) {
    super(scope, id);
    const alarms = new ServicePrincipal('cloudwatch.amazonaws.com');
    const ofThisAccount = { StringEquals: { 'aws:SourceAccount': Stack.of(this).account } };
    this.topic = new Topic(this, 'Topic', {
      displayName: 'Leasehold alarms',
      enforceSSL: true,
      ...(props.encrypted ? { masterKey: this.#key(alarms, ofThisAccount) } : {}),
    });
    this.topic.addToResourcePolicy(
      new PolicyStatement({
        sid: 'AlarmsPublish',
        principals: [alarms],
        actions: ['sns:Publish'],
        resources: [this.topic.topicArn],
        conditions: ofThisAccount,
      }),
    );
    for (const subscription of props.subscriptions ?? []) this.topic.addSubscription(subscription);
  }

  #key(alarms: ServicePrincipal, conditions: Record<string, Record<string, string>>): Key {
    const key = new Key(this, 'Key', {
      description: 'Leasehold: encrypts the topic of its alarms',
      enableKeyRotation: true,
    });
    key.addToResourcePolicy(
      new PolicyStatement({
        sid: 'AlarmsPublish',
        principals: [alarms],
        actions: ['kms:Decrypt', 'kms:GenerateDataKey*'],
        resources: ['*'],
        conditions,
      }),
    );
    return key;
  }
}
