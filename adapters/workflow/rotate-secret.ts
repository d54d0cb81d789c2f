/**
 * One step of a rotation, as Secrets Manager asks for it: looks at the record, the reports and the versions, does what
 * `core/secrets/decide-rotation.ts` says, and looks again, until the step is done or the time is up. Then it ends with an error, after which
 * Secrets Manager tries again: so a rotation waits for an operation to end, for as long as that takes.
 */
import { neverRotated, otherRole, type SecretKind } from '../../core/model/cluster-secrets.ts';
import {
  decideRotation,
  type RotationDecision,
  type RotationFacts,
  rotationSteps,
  versionsOf,
} from '../../core/secrets/decide-rotation.ts';
import {
  parseRotationRequest,
  parseSecretTags,
  readSecretText,
  withPassword,
} from '../../core/wire/parse-cluster-secrets.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import { labels, type SecretDescription, type SecretVault } from '../aws/secret-vault.ts';
import type { WorkflowDeps } from './ports.ts';
import { emit } from './progress.ts';
import { need } from './workflow-error.ts';

export interface RotationDeps
  extends Pick<WorkflowDeps, 'storeOf' | 'now' | 'sleep' | 'log' | 'newId' | 'time' | 'who'> {
  readonly vault: SecretVault;
  /** A new text that nobody can guess: letters and digits. */
  readonly newPassword: () => string;
  /** How long one step waits. */
  readonly patienceMs: number;
}

/** Secrets Manager tries again after it. */
export class RotationWaits extends Error {
  constructor(rule: string, reason: string) {
    super(`${rule}: ${reason}`);
    this.name = 'RotationWaits';
  }
}

export class RotationRefused extends Error {
  constructor(rule: string, reason: string) {
    super(`${rule}: ${reason}`);
    this.name = 'RotationRefused';
  }
}

/** Hosts follow within a second or two; an operation, or a host that is away, takes its time. */
const lookEveryMs = (looks: number) => (looks < 20 ? 500 : 5_000);
/** The wait bounds the looks; this bounds what a bug could make of them. */
const mostLooks = 5_000;

export interface StepDone {
  readonly cluster: string;
  readonly secret: SecretKind;
  readonly step: string;
  readonly rule: string;
}

/** Throws RotationWaits, RotationRefused, an operating error of the store or of Secrets Manager, or InvalidInput. */
export async function rotateSecret(deps: RotationDeps, event: unknown): Promise<StepDone> {
  const { step, secretId, version } = parseRotationRequest(event, rotationSteps);
  const startedMs = deps.now();
  let said = '';
  for (let look = 0; look < mostLooks; look += 1) {
    const secret = need(await deps.vault.describe(secretId));
    if (secret === null) throw new RotationRefused('no-such-secret', secretId);
    const { cluster, kind } = parseSecretTags(secret.tags);
    const store = deps.storeOf(cluster);
    const facts = await observe(deps, store, { step, version, kind, secret });
    const decision = decideRotation(facts);
    const { rule, order, reason } = decision;
    if (said !== rule)
      deps.log('info', 'decided', { cluster, secret: kind, step, rule, reason, order: order.kind });
    said = rule;
    if (order.kind === 'done') return { cluster, secret: kind, step, rule };
    if (order.kind === 'refuse') throw new RotationRefused(rule, reason);
    if (order.kind !== 'wait') {
      await carryOut(deps, store, { facts, secret, decision });
      continue;
    }
    if (deps.now() - startedMs > deps.patienceMs) throw new RotationWaits(rule, reason);
    await deps.sleep(lookEveryMs(look));
  }
  throw new Error(`InvariantViolation: a step of a rotation looked ${mostLooks} times`);
}

async function observe(
  { vault }: RotationDeps,
  store: ClusterStore,
  asked: Pick<RotationFacts, 'step' | 'version' | 'kind'> & { readonly secret: SecretDescription },
): Promise<RotationFacts> {
  const { secret, ...rest } = asked;
  // The record last: what the reports say is then at least as old, and a write is refused if the record has changed since.
  const [nodes, proxies] = await Promise.all([store.readNodes(), store.readProxies()]);
  const head = need(await store.readHead());
  const staged = secret.labels.get(asked.version);
  const text = staged === undefined ? null : need(await vault.read(secret.arn, asked.version));
  const standing =
    staged === undefined
      ? 'absent'
      : text === null
        ? 'empty'
        : staged.includes(labels.current)
          ? 'current'
          : 'pending';
  return {
    ...rest,
    standing,
    currentVersion: currentOf(secret),
    ...head,
    nodes: need(nodes),
    proxies: need(proxies),
  };
}

interface Work {
  readonly facts: RotationFacts;
  readonly secret: SecretDescription;
  readonly decision: RotationDecision;
}

async function carryOut(deps: RotationDeps, store: ClusterStore, work: Work): Promise<void> {
  const { facts, secret } = work;
  const { rule, order } = work.decision;
  const { record, kind, version, lease } = facts;
  switch (order.kind) {
    case 'make-text':
      // Another invocation may have been first: its text is the one.
      need(await deps.vault.putPending(secret.arn, version, await newText(deps, work)));
      return;
    case 'make-current':
      need(await deps.vault.makeCurrent(secret.arn, version, currentOf(secret)));
      return;
    case 'write': {
      if (record === null) throw new Error('InvariantViolation: a write to a record that is not there');
      const secrets = { ...(record.secrets ?? neverRotated), [kind]: order.versions };
      const written = await store.updateRecord({
        expect: { version: record.version, operation: null },
        set: { secrets },
      });
      // Refused: somebody has changed it. The next look tells.
      if (written.kind !== 'refused') need(written);
      if (written.kind === 'ok')
        await emit(deps, store, {
          ...{ kind: 'secret_rotation', rule, epoch: lease?.epoch ?? null },
          message: `${kind} ${version}: ${work.decision.reason}`,
        });
      return;
    }
    case 'done':
    case 'wait':
    case 'refuse':
      throw new Error(`InvariantViolation: nothing is to be carried out for ${order.kind}`);
  }
}

function currentOf(secret: SecretDescription): string | null {
  for (const [version, staged] of secret.labels) if (staged.includes(labels.current)) return version;
  return null;
}

/** What hosts use, with another password, and for a login the other one of its two roles. */
async function newText(deps: RotationDeps, { facts, secret }: Work): Promise<string> {
  const { record, kind } = facts;
  const version = versionsOf(record, kind).current ?? currentOf(secret);
  const text = version === null ? null : need(await deps.vault.read(secret.arn, version));
  if (text === null)
    throw new RotationRefused(
      'no-text-to-follow',
      `version ${version} of ${kind}, which hosts use, has no text`,
    );
  const { username } = readSecretText(text);
  if (kind === 'cluster') return withPassword(text, deps.newPassword(), null);
  if (username === null)
    throw new RotationRefused(
      'no-username',
      `the secret of ${kind} takes {"username": ..., "password": ...}`,
    );
  return withPassword(text, deps.newPassword(), otherRole(username));
}
