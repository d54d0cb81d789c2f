/**
 * What Run Command may do on a host: documents of our own, never AWS-RunShellScript. Each parameter is put between single
 * quotes and has a pattern that no quote can match, so that a parameter can never become shell code.
 */
import { CfnDocument } from 'aws-cdk-lib/aws-ssm';
import { Construct } from 'constructs';

/** Also what `core/wire` accepts: ids of operations, `<verb>@<node>#<attempt>`, epochs. */
export const parameterPatterns = {
  Operation: '^[A-Za-z0-9][A-Za-z0-9-]{0,99}$',
  Action: '^[a-z-]{1,40}@[a-z][a-z0-9-]{0,30}#[0-9]{1,3}$',
  Epoch: '^[1-9][0-9]{0,14}$',
  Key: '^[A-Za-z0-9][A-Za-z0-9/._-]{0,511}$',
  Sha256: '^[0-9a-f]{64}$',
} as const;

type Parameter = keyof typeof parameterPatterns;

const descriptions: Readonly<Record<Parameter, string>> = {
  Operation: 'The operation that the action belongs to',
  Action: 'The action, <verb>@<node>#<attempt>',
  Epoch: 'No primary may run at this epoch or below',
  Key: 'The artifact of the new version, in the bucket that the host was installed from',
  Sha256: 'Its SHA-256: another one is refused',
};

interface HostCommand {
  readonly description: string;
  readonly verb: string;
  /** Option of the agent's command line, by parameter. */
  readonly options: Partial<Readonly<Record<Parameter, string>>>;
  readonly timeoutSeconds: number;
}

export class HostDocuments extends Construct {
  readonly runAction: CfnDocument;
  readonly fence: CfnDocument;
  /** Sent by an operator, host by host; no role of the control plane may send it. */
  readonly upgrade: CfnDocument;

  constructor(scope: Construct, id: string) {
    super(scope, id);
    this.runAction = this.#document('RunAction', {
      description: 'Carries out one action of a Leasehold operation and prints its transcript',
      verb: 'run-action',
      options: { Operation: '--operation', Action: '--action' },
      timeoutSeconds: 180,
    });
    this.fence = this.#document('Fence', {
      description:
        'Stops PostgreSQL and bars it from being primary at this epoch; the last line is the proof',
      verb: 'fence',
      options: { Epoch: '--epoch' },
      timeoutSeconds: 60,
    });
    this.upgrade = this.#document('Upgrade', {
      description:
        'Brings another version of the Leasehold agent onto a host while PostgreSQL runs on, and goes back when it is not well',
      verb: 'upgrade',
      options: { Key: '--key', Sha256: '--sha256' },
      timeoutSeconds: 900,
    });
  }

  #document(id: string, command: HostCommand): CfnDocument {
    return new CfnDocument(this, id, {
      documentType: 'Command',
      documentFormat: 'JSON',
      targetType: '/AWS::EC2::Instance',
      updateMethod: 'NewVersion',
      content: documentContent(command),
    });
  }
}

function documentContent(command: HostCommand): object {
  const parameters = Object.keys(command.options) as Parameter[];
  const words = parameters.map((name) => `${command.options[name]} '{{ ${name} }}'`);
  return {
    schemaVersion: '2.2',
    description: command.description,
    parameters: Object.fromEntries(
      parameters.map((name) => [
        name,
        { type: 'String', description: descriptions[name], allowedPattern: parameterPatterns[name] },
      ]),
    ),
    mainSteps: [
      {
        action: 'aws:runShellScript',
        name: command.verb.replaceAll('-', '_'),
        precondition: { StringEquals: ['platformType', 'Linux'] },
        inputs: {
          timeoutSeconds: String(command.timeoutSeconds),
          runCommand: [
            `PATH="$PATH:/usr/local/bin:/opt/leasehold/bin"`,
            `exec leasehold-agent ${command.verb} ${words.join(' ')}`,
          ],
        },
      },
    ],
  };
}
