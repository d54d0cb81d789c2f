/**
 * In which regions the table is besides the stack's own, checked before anything is made. Only with strong consistency in all of them: a
 * table that replicates with eventual consistency judges conditions on a local copy, and two regions would each give the lease away.
 */
import { Token } from 'aws-cdk-lib';
import { InvalidInput } from '../core/wire/fields.ts';

/** Each set as DynamoDB has it; a table lies within one. */
const regionSets = [
  ['us-east-1', 'us-east-2', 'us-west-2'],
  ['eu-west-1', 'eu-west-2', 'eu-west-3', 'eu-central-1'],
  ['ap-northeast-1', 'ap-northeast-2', 'ap-northeast-3'],
] as const;

export interface TableRegions {
  /** Where copies are that can be read and written, the stack's own region left out: two, or one beside a witness. */
  readonly replicas: readonly string[];
  /** A region that only keeps what is written, so that two of three have it. Default: none, with two replicas. */
  readonly witness?: string;
  /** By replica's region, the ARN of a key there. Needed when the table has an `encryptionKey`, and nothing without. */
  readonly replicaKeyArns?: Readonly<Record<string, string>>;
}

/** Throws InvalidInput, which names the prop. `home` is the stack's region, which must be said. */
export function checkTableRegions(regions: TableRegions, home: string, hasKey: boolean): void {
  const { replicas, witness, replicaKeyArns = {} } = regions;
  if (Token.isUnresolved(home))
    throw new InvalidInput('tableRegions', 'in a stack for any region', 'a stack with env.region');
  const set = regionSets.find((one) => (one as readonly string[]).includes(home));
  if (set === undefined)
    throw new InvalidInput('env.region', home, `beside tableRegions, one of ${regionSets.flat().join(', ')}`);
  const wanted = witness === undefined ? 2 : 1;
  if (replicas.length !== wanted)
    throw new InvalidInput(
      'tableRegions.replicas',
      replicas.join(', ') || 'nothing',
      witness === undefined ? 'two regions, or one and a witness' : 'one region, beside a witness',
    );
  const others = set.filter((one) => one !== home);
  const named = [...replicas, ...(witness === undefined ? [] : [witness])];
  for (const [at, region] of named.entries()) {
    const field = at < replicas.length ? `tableRegions.replicas[${at}]` : 'tableRegions.witness';
    if (!(others as readonly string[]).includes(region))
      throw new InvalidInput(field, region, `of the set of ${home}: ${others.join(', ')}`);
    if (named.indexOf(region) !== at) throw new InvalidInput(field, region, 'a region that is not named yet');
  }
  checkKeys(replicaKeyArns, hasKey ? replicas : []);
}

/** A key of one region encrypts nothing in another. */
function checkKeys(arns: Readonly<Record<string, string>>, regions: readonly string[]): void {
  const missing = regions.find((region) => arns[region] === undefined);
  if (missing !== undefined)
    throw new InvalidInput(
      `tableRegions.replicaKeyArns.${missing}`,
      undefined,
      'the ARN of a key there, beside encryptionKey',
    );
  const foreign = Object.keys(arns).find((region) => !regions.includes(region));
  if (foreign !== undefined)
    throw new InvalidInput(
      'tableRegions.replicaKeyArns',
      foreign,
      `regions of replicas, beside encryptionKey: ${regions.join(', ') || 'none'}`,
    );
}
