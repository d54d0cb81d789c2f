/**
 * A table in three regions: strongly consistent or not at all, within one set of regions, without what DynamoDB does not have there, and
 * nobody may do more for it than in one region.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LeaseholdControlPlaneProps } from '../../infra/control-plane.ts';
import { clusterTemplates } from './cluster-templates.ts';
import { actionsOf, flat, statementsOf, type Template } from './synthesised.ts';

const templates = clusterTemplates();
afterAll(() => templates.remove());

type Props = Pick<LeaseholdControlPlaneProps, 'tableRegions'> & { readonly region?: string };

/** A control plane in Ireland, or elsewhere, or for any region. */
async function controlPlane({ region = 'eu-west-1', tableRegions }: Props, keyed = false): Promise<Template> {
  const { Stack } = await import('aws-cdk-lib');
  const { Key } = await import('aws-cdk-lib/aws-kms');
  const { LeaseholdControlPlane } = await import('../../infra/control-plane.ts');
  return await templates.of((app, bundles) => {
    const stack = new Stack(app, 'Leasehold', region === 'any' ? {} : { env: { region } });
    new LeaseholdControlPlane(stack, 'ControlPlane', {
      ...{ clusters: ['main'], bundles },
      ...(tableRegions === undefined ? {} : { tableRegions }),
      ...(keyed ? { encryptionKey: new Key(stack, 'Key') } : {}),
    });
    return stack;
  });
}

const withWitness = { replicas: ['eu-west-2'], witness: 'eu-central-1' };
const recovered = {
  PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
  DeletionProtectionEnabled: true,
};

describe('the table', () => {
  let table: Template;
  beforeAll(async () => {
    table = await controlPlane({ tableRegions: withWitness });
  });

  test('is strongly consistent in two replicas and a witness, each replica protected as the one was', () => {
    const { properties, whole } = table.one('AWS::DynamoDB::GlobalTable');
    expect(properties['MultiRegionConsistency']).toBe('STRONG');
    expect(properties['GlobalTableWitnesses']).toEqual([{ Region: 'eu-central-1' }]);
    const replicas = properties['Replicas'] as unknown as { readonly Region: string }[];
    expect(replicas.map(({ Region }) => Region).toSorted()).toEqual(['eu-west-1', 'eu-west-2']);
    for (const replica of replicas) expect(replica).toMatchObject(recovered);
    expect(whole['DeletionPolicy']).toBe('Retain');
  });

  test('asks for no time to live, which DynamoDB does not have there', () => {
    expect(table.one('AWS::DynamoDB::GlobalTable').properties).not.toHaveProperty('TimeToLiveSpecification');
  });

  test('is the same for functions and hosts: no policy says more than in one region', async () => {
    const one = await controlPlane({});
    const policies = (template: Template) =>
      ['AWS::IAM::Policy', 'AWS::IAM::ManagedPolicy'].flatMap((type) =>
        template.ofType(type).map(({ id, properties }) => [id, properties['PolicyDocument']]),
      );
    expect(policies(one).length).toBeGreaterThan(5);
    expect(policies(table)).toEqual(policies(one));
    const asked = table.ofType('AWS::IAM::Policy').flatMap(statementsOf).flatMap(actionsOf);
    expect(asked.filter((action) => /Replica|GlobalTable|ReadDataFor/.test(action))).toEqual([]);
  });

  test('may have three replicas instead, and a key for each', async () => {
    const key = (region: string) => `arn:aws:kms:${region}:123456789012:key/of-${region}`;
    const replicas = ['us-east-2', 'us-west-2'];
    const replicaKeyArns = Object.fromEntries(replicas.map((region) => [region, key(region)]));
    const made = await controlPlane(
      { region: 'us-east-1', tableRegions: { replicas, replicaKeyArns } },
      true,
    );
    const { properties } = made.one('AWS::DynamoDB::GlobalTable');
    expect(properties).not.toHaveProperty('GlobalTableWitnesses');
    expect(properties['SSESpecification']).toEqual({ SSEEnabled: true, SSEType: 'KMS' });
    const keys = (properties['Replicas'] as unknown as { Region: string; SSESpecification: never }[]).map(
      (one) => [one.Region, flat(one.SSESpecification)] as const,
    );
    expect(keys).toHaveLength(3);
    for (const [region, text] of keys)
      expect(text).toContain(region === 'us-east-1' ? 'Key961' : key(region));
  });
});

test('without the prop the table is in one region, and says nothing of consistency', async () => {
  const { properties } = (await controlPlane({})).one('AWS::DynamoDB::GlobalTable');
  expect(properties['Replicas']).toHaveLength(1);
  expect(properties).not.toHaveProperty('MultiRegionConsistency');
  expect(properties['TimeToLiveSpecification']).toEqual({ AttributeName: 'expires_at', Enabled: true });
});

test.each<[string, Props, boolean, RegExp]>([
  [
    'a stack for any region',
    { region: 'any', tableRegions: withWitness },
    false,
    /tableRegions was .*env\.region/,
  ],
  [
    'a region without it',
    { region: 'eu-north-1', tableRegions: withWitness },
    false,
    /env\.region was "eu-north-1".*us-east-1/,
  ],
  [
    'no replica',
    { tableRegions: { replicas: [] } },
    false,
    /tableRegions\.replicas was "nothing".*two regions/,
  ],
  ['one replica alone', { tableRegions: { replicas: ['eu-west-2'] } }, false, /"eu-west-2".*and a witness/],
  [
    'four regions',
    { tableRegions: { ...withWitness, replicas: ['eu-west-2', 'eu-west-3'] } },
    false,
    /tableRegions\.replicas was "eu-west-2, eu-west-3".*one region/,
  ],
  [
    'another set of regions',
    { tableRegions: { replicas: ['eu-west-2', 'us-east-1'] } },
    false,
    /tableRegions\.replicas\[1\] was "us-east-1".*eu-west-3/,
  ],
  [
    'its own region again',
    { tableRegions: { replicas: ['eu-west-1'], witness: 'eu-west-3' } },
    false,
    /tableRegions\.replicas\[0\] was "eu-west-1"/,
  ],
  [
    'a witness that is a replica',
    { tableRegions: { replicas: ['eu-west-2'], witness: 'eu-west-2' } },
    false,
    /tableRegions\.witness was "eu-west-2"/,
  ],
  [
    'a key without one in the other region',
    { tableRegions: withWitness },
    true,
    /tableRegions\.replicaKeyArns\.eu-west-2 was absent/,
  ],
  [
    'keys for a table that has none here',
    { tableRegions: { ...withWitness, replicaKeyArns: { 'eu-west-2': 'arn:x' } } },
    false,
    /tableRegions\.replicaKeyArns was "eu-west-2"/,
  ],
])('%s is refused, by the name of the prop', async (_what, props, keyed, words) => {
  await expect(controlPlane(props, keyed)).rejects.toThrow(words);
});
