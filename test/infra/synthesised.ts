/**
 * The stack, synthesised once for the tests of a file: the template as CloudFormation would get it, and small readers of it.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { synthesise } from '../../infra/synthesise.ts';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

export interface Resource {
  readonly id: string;
  readonly type: string;
  readonly properties: JsonObject;
  readonly whole: JsonObject;
}

export interface Statement {
  readonly Sid?: string;
  readonly Effect: 'Allow' | 'Deny';
  readonly Action: string | readonly string[];
  readonly Resource: Json;
  readonly Condition?: JsonObject;
}

export interface Template {
  readonly resources: readonly Resource[];
  readonly outputs: JsonObject;
  ofType(type: string): readonly Resource[];
  /** The one resource whose logical id contains `part`. */
  one(type: string, part?: string): Resource;
}

export async function synthesiseTemplate(): Promise<Template & { remove(): void }> {
  const folder = mkdtempSync(join(tmpdir(), 'leasehold-synth-'));
  const { folder: assembly, stackName } = await synthesise(folder);
  const text = readFileSync(join(assembly, `${stackName}.template.json`), 'utf8');
  return {
    ...readTemplate(JSON.parse(text) as JsonObject),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

export function readTemplate(template: JsonObject): Template {
  const resources = Object.entries(template['Resources'] as JsonObject).map(([id, value]) => {
    const whole = value as JsonObject;
    return { id, type: String(whole['Type']), properties: (whole['Properties'] ?? {}) as JsonObject, whole };
  });
  const ofType = (type: string) => resources.filter((resource) => resource.type === type);
  return {
    resources,
    outputs: (template['Outputs'] ?? {}) as JsonObject,
    ofType,
    one(type, part = '') {
      const found = ofType(type).filter(({ id }) => id.includes(part));
      if (found.length !== 1) throw new Error(`${found.length} resources of ${type} contain "${part}"`);
      return found[0] as Resource;
    },
  };
}

/** Every statement of a policy resource. */
export function statementsOf({ properties }: Resource): readonly Statement[] {
  return (properties['PolicyDocument'] as unknown as { Statement: readonly Statement[] }).Statement;
}

export function actionsOf({ Action: actions }: Statement): readonly string[] {
  return typeof actions === 'string' ? [actions] : actions;
}

/** Text of a value, intrinsics and all: to look for names in ARNs that are joined from parts. */
export function flat(value: Json): string {
  return JSON.stringify(value);
}
