/**
 * Has one host bring itself to a release, by the stack's document, and waits for the end. Sent again it does no harm: a host that has the
 * release says so, and one at work is waited for by its own lock.
 */
import type { UpgradeHost } from '../../core/upgrade/decide-upgrade.ts';
import type { AwsClients } from '../aws/clients.ts';
import type { Artifact, Outcome } from './run-upgrade.ts';

export interface UpgradeHostDeps {
  readonly clients: Pick<AwsClients, 'sendCommand' | 'getCommandInvocation'>;
  readonly document: string;
  /** Monotonic, in ms. */
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
}

const sendAttempts = 3;
const askEveryMs = 1_000;
/** Delivery, the document's own limit, and some. */
const limitMs = 1_000_000;
const mostCharacters = 500;

export async function upgradeHost(
  deps: UpgradeHostDeps,
  { instanceId }: UpgradeHost,
  { key, sha256 }: Artifact,
): Promise<Outcome> {
  const sent = await send(deps, instanceId, { Key: key, Sha256: sha256 });
  if (sent.kind === 'failed') return sent.why;
  const untilMs = deps.now() + limitMs;
  while (deps.now() < untilMs) {
    const answer = await deps.clients.getCommandInvocation({ commandId: sent.commandId, instanceId });
    // Silence of the service says nothing of the host.
    if (answer.kind === 'ok' && answer.value.state !== 'pending') {
      const { state, status, output, errorOutput } = answer.value;
      return state === 'succeeded' ? null : `${status}: ${lastLine(errorOutput) || lastLine(output)}`;
    }
    await deps.sleep(askEveryMs);
  }
  return `the command ${sent.commandId} does not end`;
}

async function send(
  { clients, document, sleep }: UpgradeHostDeps,
  instanceId: string,
  parameters: Readonly<Record<string, string>>,
): Promise<{ kind: 'sent'; commandId: string } | { kind: 'failed'; why: string }> {
  let why = '';
  for (let attempt = 0; attempt < sendAttempts; attempt += 1) {
    if (attempt > 0) await sleep(askEveryMs * 2 ** attempt);
    const sent = await clients.sendCommand({ document, instanceId, parameters });
    if (sent.kind === 'ok') return { kind: 'sent', commandId: sent.value };
    if (sent.kind === 'refused') return { kind: 'failed', why: `Run Command does not reach ${instanceId}` };
    why = `${sent.kind}: ${sent.message}`;
    if (sent.kind === 'denied') break;
  }
  return { kind: 'failed', why };
}

function lastLine(text: string): string {
  return (text.trimEnd().split('\n').at(-1) ?? '').slice(0, mostCharacters);
}
