/**
 * The doctor's checks of what a host needs from elsewhere: DynamoDB, Step Functions, its secrets, the other hosts, the time. A refusal is
 * an answer: the doctor tells a way that is closed from a permission that is missing.
 */
import type { AwsClients } from '../../adapters/aws/clients.ts';
import type { ClusterStore } from '../../adapters/aws/cluster-store.ts';
import type { Answer } from '../../adapters/aws/store-answer.ts';
import { type SecretKind, secretKinds } from '../../core/model/cluster-secrets.ts';
import type { HostConfig, HostSecrets } from '../../core/model/host-config.ts';
import { readSecretText } from '../../core/wire/parse-cluster-secrets.ts';
import { type Check, type Finding, failed, fine, skipped, warning } from './check.ts';

export interface ServiceDeps {
  readonly config: HostConfig;
  readonly store: Pick<ClusterStore, 'readHead' | 'readNodes'>;
  readonly aws: Pick<AwsClients, 'describeExecution'>;
  readonly secretsInUse: HostSecrets;
  /** The text that Secrets Manager calls current; null: this host does not know where its secrets are kept. */
  readonly currentSecret: ((kind: SecretKind) => Promise<Answer<string>>) | null;
  /** The status of a GET, within `timeoutMs`; rejects when nobody answers. */
  readonly status: (url: string, timeoutMs: number) => Promise<number>;
  /** What AWS's clock says, from the Date header of any answer; null when nothing answers. Milliseconds since 1970. */
  readonly awsTimeMs: () => Promise<number | null>;
  readonly nowMs: () => number;
}

const callTimeoutMs = 3_000;
const peerTimeoutMs = 2_000;
/** AWS refuses signatures that are off by five minutes; logs and events are hard to read long before. */
const muchMs = 240_000;
const someMs = 2_000;

const closed = 'Look at the route, the security groups, the endpoint of the VPC, and the name server.';
const forbidden =
  "Look at the instance's profile: it is the one of this cluster and role in the stack's outputs.";

export function serviceChecks(deps: ServiceDeps): Check[] {
  return [
    { id: 'dynamodb', look: () => lookAtTable(deps) },
    { id: 'step-functions', look: () => lookAtStepFunctions(deps) },
    { id: 'secrets', look: () => lookAtSecrets(deps) },
    { id: 'peers', look: () => lookAtPeers(deps) },
    { id: 'time', look: () => lookAtTime(deps) },
  ];
}

async function lookAtTable({ config, store }: ServiceDeps): Promise<Finding> {
  const head = await store.readHead({ timeoutMs: callTimeoutMs });
  const table = `${config.tableName} in ${config.region}`;
  if (head.kind !== 'ok') return notOk(table, head);
  const { record, lease } = head.value;
  if (record === null)
    return warning(`${table} has no record of ${config.cluster}`, 'Make the cluster: see hosts.md.');
  return fine(`${table}: epoch ${lease?.epoch ?? 0}, held by ${lease?.holder ?? 'nobody yet'}`);
}

/** No agent may describe an execution: a refusal is the answer that is hoped for. */
async function lookAtStepFunctions({ config, aws }: ServiceDeps): Promise<Finding> {
  const execution = `${config.stateMachineArn.replace(':stateMachine:', ':execution:')}:doctor`;
  const answer = await aws.describeExecution(execution, { timeoutMs: callTimeoutMs });
  if (answer.kind === 'unreachable') return failed(`Step Functions: ${answer.message}`, closed);
  return fine('Step Functions answers');
}

/** What this host uses against what Secrets Manager calls current. */
async function lookAtSecrets({ secretsInUse, currentSecret }: ServiceDeps): Promise<Finding> {
  if (currentSecret === null) return skipped('this host was not told where its secrets are kept');
  const behind: SecretKind[] = [];
  for (const kind of secretKinds) {
    const answer = await currentSecret(kind);
    if (answer.kind !== 'ok') return notOk(`Secrets Manager, ${kind}`, answer);
    const { username, password } = readSecretText(answer.value);
    const same =
      kind === 'cluster'
        ? password === secretsInUse.cluster
        : password === secretsInUse[kind].password &&
          (username ?? secretsInUse[kind].name) === secretsInUse[kind].name;
    if (!same) behind.push(kind);
  }
  if (behind.length === 0) return fine('this host uses the current version of its secrets');
  const advice =
    'A rotation may be under way, or have been given up, or a secret was changed by hand: see rotation-does-not-end.md.';
  return warning(`this host uses another version than the current one: ${behind.join(', ')}`, advice);
}

function notOk(what: string, answer: { readonly kind: string; readonly message: string }): Finding {
  const advice =
    answer.kind === 'denied' ? forbidden : answer.kind === 'throttled' ? 'Ask again later.' : closed;
  return failed(`${what}: ${answer.kind}: ${answer.message}`, advice);
}

async function lookAtPeers({ config, store, status }: ServiceDeps): Promise<Finding> {
  const nodes = await store.readNodes({ timeoutMs: callTimeoutMs });
  if (nodes.kind !== 'ok') return notOk('the reports of the nodes', nodes);
  const others = nodes.value.filter(({ node }) => node !== config.node);
  if (others.length === 0) return warning('no other node has reported', 'Start the others.');
  const silent: string[] = [];
  await Promise.all(
    others.map(async ({ node, addresses: { host, restPort } }) => {
      const answer = await status(`http://${host}:${restPort}/liveness`, peerTimeoutMs).catch(() => 0);
      if (answer !== 200) silent.push(`${node} at ${host}:${restPort}${answer === 0 ? '' : ` (${answer})`}`);
    }),
  );
  if (silent.length === 0) return fine(`${others.map(({ node }) => node).join(', ')} answer`);
  const advice =
    'Without them this host cannot stay primary while DynamoDB is away. Look at security groups, and at those hosts.';
  return failed(`no answer from ${silent.toSorted().join(', ')}`, advice);
}

async function lookAtTime({ awsTimeMs, nowMs }: ServiceDeps): Promise<Finding> {
  const before = nowMs();
  const theirs = await awsTimeMs();
  if (theirs === null) return failed('AWS did not tell the time', closed);
  // The header has whole seconds, cut off: it says half a second less on average.
  const offMs = Math.round((before + nowMs()) / 2 - (theirs + 500));
  const found = `${Math.abs(offMs)} ms ${offMs < 0 ? 'behind' : 'ahead of'} AWS's`;
  const advice =
    'Let chrony follow 169.254.169.123. No decision rests on this clock, but signatures and logs do.';
  if (Math.abs(offMs) > muchMs) return failed(found, advice);
  return Math.abs(offMs) > someMs ? warning(found, advice) : fine(found);
}
