/** One host's upgrade by Run Command: what is sent, what is waited for, and what a failure says. */
import { expect, test } from 'vitest';
import type { AwsClients, CommandInvocation } from '../../../adapters/aws/clients.ts';
import { ok, type StoreFailure } from '../../../adapters/aws/store-answer.ts';
import { upgradeHost } from '../../../adapters/upgrade/upgrade-host.ts';
import { newRelease, request } from './upgrade-world.ts';

const host = { id: 'node-2', instanceId: 'i-2', release: null };
const away: StoreFailure = { kind: 'unreachable', message: 'ETIMEDOUT' };
const ended = (state: CommandInvocation['state'], status: string, errorOutput = ''): CommandInvocation => ({
  ...{ state, status, errorOutput, output: 'leasehold: 0.1.0 serves as: standby\nleasehold: 0.2.0 runs\n' },
});

type Sent = Awaited<ReturnType<AwsClients['sendCommand']>>;
type Invocation = Awaited<ReturnType<AwsClients['getCommandInvocation']>>;

async function upgrade(sends: readonly Sent[], answers: readonly Invocation[]) {
  const sent: unknown[] = [];
  let nowMs = 0;
  let asked = 0;
  const outcome = await upgradeHost(
    {
      document: 'Upgrade',
      now: () => nowMs,
      sleep: async (ms) => {
        nowMs += ms;
      },
      clients: {
        sendCommand: async (command) => {
          sent.push(command);
          return sends[sent.length - 1] ?? ok('c-1');
        },
        getCommandInvocation: async () => {
          asked += 1;
          return answers[Math.min(asked, answers.length) - 1] ?? away;
        },
      },
    },
    host,
    request.artifact,
  );
  return { outcome, sent, nowMs };
}

test('the artifact is named, and the end waited for, although the service is silent at times', async () => {
  const pending = ok(ended('pending', 'InProgress'));
  const { outcome, sent } = await upgrade([], [pending, away, pending, ok(ended('succeeded', 'Success'))]);
  expect(outcome).toBeNull();
  const parameters = { Key: 'agent-0.2.0.tar.gz', Sha256: newRelease.sha256 };
  expect(sent).toEqual([{ document: 'Upgrade', instanceId: 'i-2', parameters }]);
});

test.each([
  [
    ended('failed', 'Failed', 'leasehold: fetching\nleasehold: the upgrade was rolled back\n'),
    'Failed: leasehold: the upgrade was rolled back',
  ],
  [ended('failed', 'TimedOut'), 'TimedOut: leasehold: 0.2.0 runs'],
])('a failure is told by its last line', async (invocation, said) => {
  expect((await upgrade([], [ok(invocation)])).outcome).toBe(said);
});

test('it is sent again when that may help, and only then', async () => {
  const success = [ok(ended('succeeded', 'Success'))];
  expect(await upgrade([away, away], success)).toMatchObject({ outcome: null, sent: [{}, {}, {}] });
  expect(await upgrade([away, away, away], success)).toMatchObject({ outcome: 'unreachable: ETIMEDOUT' });
  expect((await upgrade([{ kind: 'refused' }], success)).outcome).toBe('Run Command does not reach i-2');
  const denied = await upgrade([{ kind: 'denied', message: 'no' }], success);
  expect(denied).toMatchObject({ outcome: 'denied: no', sent: [{}] });
});

test('a command that never ends is given up after the limit of its document', async () => {
  const { outcome, nowMs } = await upgrade([], [ok(ended('pending', 'InProgress'))]);
  expect(outcome).toBe('the command c-1 does not end');
  expect(nowMs).toBeGreaterThan(930_000);
});
