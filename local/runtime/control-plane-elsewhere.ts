/**
 * Where the control plane is that hosts of this machine join, when it is not the runtime's own: an endpoint that speaks AWS' protocols
 * and has the stack's table, state machine and functions. Read from a file, because it holds a key.
 */
import { readFileSync } from 'node:fs';
import { InvalidInput, readKnownFields, readNonEmpty } from '../../core/wire/fields.ts';

export interface ControlPlaneElsewhere {
  /** Of all services, as `http://127.0.0.1:4566`. */
  readonly awsEndpointUrl: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly tableName: string;
  readonly stateMachineArn: string;
  /** Names of Run Command's documents. */
  readonly documents: { readonly runAction: string; readonly fence: string };
}

/** Null for no file. Throws InvalidInput naming the field that is wrong, or what reading the file says. */
export function readControlPlaneElsewhere(file: string | undefined): ControlPlaneElsewhere | null {
  if (file === undefined) return null;
  const texts = ['region', 'accessKeyId', 'secretAccessKey', 'tableName', 'stateMachineArn'] as const;
  const known = ['awsEndpointUrl', ...texts, 'documents'];
  const fields = readKnownFields(JSON.parse(readFileSync(file, 'utf8')), 'the control plane', known);
  const documents = readKnownFields(fields['documents'], 'documents', ['runAction', 'fence']);
  const url = readNonEmpty(fields['awsEndpointUrl'], 'awsEndpointUrl');
  if (!/^https?:\/\//.test(url) || !URL.canParse(url))
    throw new InvalidInput('awsEndpointUrl', url, 'a URL of http or https');
  const [region, accessKeyId, secretAccessKey, tableName, stateMachineArn] = texts.map((key) =>
    readNonEmpty(fields[key], key),
  ) as [string, string, string, string, string];
  return {
    awsEndpointUrl: url,
    region,
    accessKeyId,
    secretAccessKey,
    tableName,
    stateMachineArn,
    documents: {
      runAction: readNonEmpty(documents['runAction'], 'documents.runAction'),
      fence: readNonEmpty(documents['fence'], 'documents.fence'),
    },
  };
}
