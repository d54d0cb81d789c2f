/**
 * The roles of the synthesised stack with everything that is attached to them, references resolved, as `evaluateIam` takes them; and
 * the ARNs of what requests are about.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { synthesise } from '../../infra/synthesise.ts';
import { readStack, type Stack } from '../../local/aws/template.ts';
import type { Statement } from '../support/iam-evaluate.ts';

export interface Roles {
  readonly stack: Stack;
  readonly names: readonly string[];
  /** All that the one role whose name contains `part` is allowed and denied. */
  of(part: string): readonly Statement[];
  /** The physical name of the one document that contains `part`. */
  document(part: string): string;
  remove(): void;
}

const ssm = (names: string) => names.split(' ').map((name) => `ssm:${name}`);

/** What AWS' own policies allow, by their published version: a role that has one may do that too. */
const managedByAws: Readonly<Record<string, readonly Statement[]>> = {
  // Version 2, of 2019-05-23, the default in November 2026.
  'arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore': [
    {
      Effect: 'Allow',
      Resource: '*',
      Action: [
        ...ssm('DescribeAssociation GetDeployablePatchSnapshotForInstance GetDocument DescribeDocument'),
        ...ssm('GetManifest GetParameter GetParameters ListAssociations ListInstanceAssociations'),
        ...ssm('PutInventory PutComplianceItems PutConfigurePackageResult UpdateAssociationStatus'),
        ...ssm('UpdateInstanceAssociationStatus UpdateInstanceInformation'),
      ],
    },
    {
      Effect: 'Allow',
      Resource: '*',
      Action: ['CreateControlChannel', 'CreateDataChannel', 'OpenControlChannel', 'OpenDataChannel'].map(
        (name) => `ssmmessages:${name}`,
      ),
    },
    {
      Effect: 'Allow',
      Resource: '*',
      Action: [
        'AcknowledgeMessage',
        'DeleteMessage',
        'FailMessage',
        'GetEndpoint',
        'GetMessages',
        'SendReply',
      ].map((name) => `ec2messages:${name}`),
    },
  ],
};

/** Of the control plane with one cluster whose hosts exist already. */
export async function synthesiseRoles(): Promise<Roles> {
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-roles-'));
  const { folder: assembly, stackName } = await synthesise(folder);
  return rolesIn(assembly, stackName, folder);
}

/** The roles of one stack of the assembly; `folder` is what `remove` removes. */
export function rolesIn(assemblyFolder: string, stackName: string, folder: string): Roles {
  const stack = readStack({ assemblyFolder, stackName });
  const statements = statementsByRole(stack);
  const one = <T>(what: string, part: string, list: readonly T[], nameOf: (item: T) => string): T => {
    const found = list.filter((item) => nameOf(item).includes(part));
    if (found.length !== 1) throw new Error(`${found.length} ${what} contain "${part}"`);
    return found[0] as T;
  };
  return {
    stack,
    names: [...statements.keys()],
    of: (part) => one('roles', part, [...statements], ([name]) => name)[1],
    document: (part) => one('documents', part, stack.documents, ({ name }) => name).name,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function statementsByRole(stack: Stack): ReadonlyMap<string, readonly Statement[]> {
  const roles = new Map<string, Statement[]>();
  const managed = new Map<string, readonly Statement[]>(Object.entries(managedByAws));
  for (const { logicalId, properties } of stack.ofType('AWS::IAM::ManagedPolicy'))
    managed.set(String(stack.ref(logicalId)), statementsIn(properties));
  for (const { logicalId, properties } of stack.ofType('AWS::IAM::Role')) {
    const attached = ((properties['ManagedPolicyArns'] ?? []) as readonly string[]).flatMap((arn) => {
      const found = managed.get(arn);
      if (found === undefined) throw new Error(`what ${arn} allows is not known here`);
      return found;
    });
    const inline = (properties['Policies'] ?? []) as readonly Readonly<Record<string, unknown>>[];
    roles.set(String(stack.ref(logicalId)), [...attached, ...inline.flatMap(statementsIn)]);
  }
  for (const { logicalId, properties } of stack.ofType('AWS::IAM::Policy')) {
    for (const name of properties['Roles'] as readonly string[]) {
      const role = roles.get(name);
      if (role === undefined) throw new Error(`${logicalId} is attached to ${name}, which is no role here`);
      role.push(...statementsIn(properties));
    }
  }
  return roles;
}

function statementsIn(properties: Readonly<Record<string, unknown>>): readonly Statement[] {
  return (properties['PolicyDocument'] as { readonly Statement: readonly Statement[] }).Statement;
}
