// A process to be killed: Step Functions over a folder, with functions that write down each call. It resumes whatever the
// folder holds, starts the execution when there is none, prints a line for all that happens, takes answers for tokens on
// its standard input, and exits when the execution has closed. With a second argument it kills itself, by SIGKILL and
// before it does anything else, on the first event whose line begins with it.

import { appendFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '../../adapters/asl/json.ts';
import { createLambdaInvoker } from '../../adapters/asl/lambda-invoker.ts';
import { createStepFunctions } from '../../local/aws/step-functions.ts';
import { ACCOUNT, call, callAndWait, machineOf } from './asl-harness.ts';

const [, , folder = '', dieAt] = process.argv;
// Synchronous, so that what was printed before a kill is seen.
const print = (line: string) => writeSync(1, `${line}\n`);
const note = (line: string) => appendFileSync(join(folder, 'calls'), `${line}\n`);

const definition: JsonObject = {
  StartAt: 'Begin',
  States: {
    Begin: { Type: 'Pass', Assign: { nodes: ['a', 'b', 'c'] }, Next: 'Slow' },
    Slow: call('slow', 'slow', { Assign: { slow: '{% $states.result.Payload %}' }, Next: 'Act' }),
    Act: callAndWait('act', { HeartbeatSeconds: 20, Next: 'Nap' }),
    Nap: {
      Type: 'Wait',
      Timestamp: '{% $fromMillis($toMillis($states.context.State.EnteredTime) + 60) %}',
      Next: 'Each',
    },
    Each: {
      Type: 'Map',
      Items: '{% $nodes %}',
      MaxConcurrency: 2,
      ItemProcessor: {
        StartAt: 'Ask',
        States: {
          Ask: call('slow', '{% $states.input %}', { Output: '{% $states.result.Payload %}', End: true }),
        },
      },
      Output: '{% {"slow": $slow, "each": $states.result} %}',
      End: true,
    },
  },
};

const stepFunctions = createStepFunctions({
  stateMachines: [machineOf(definition)],
  folder: join(folder, 'executions'),
  region: 'eu-central-1',
  accountId: '123456789012',
  onEvent: (_arn, event) => {
    print(event.type);
    if (event.type === dieAt) process.kill(process.pid, 'SIGKILL');
  },
  invokeTask: createLambdaInvoker({
    slow: async (payload) => {
      note(`slow ${String(payload)}`);
      print('called');
      await sleep(40);
      return payload;
    },
    act: async (payload) => {
      const { token } = payload as { token: string };
      note(`act ${token}`);
      // What a host would do: keep the token and answer some time later.
      appendFileSync(join(folder, 'token'), token);
      return 'accepted';
    },
  }),
});

const stateMachineArn = `${ACCOUNT}:stateMachine:failover`;
const { damaged } = stepFunctions.resume();
if (damaged.length > 0) throw new Error(JSON.stringify(damaged));
const executionArn = `${ACCOUNT}:execution:failover:one`;
if (stepFunctions.engine.describe(executionArn) === undefined) {
  await stepFunctions.handle('StartExecution', { stateMachineArn, name: 'one', input: '{}' });
}
print('ready');

process.stdin.on('data', (chunk) => {
  for (const token of chunk
    .toString()
    .split('\n')
    .filter((line) => line !== '')) {
    const answer = { taskToken: token, output: '"done"' };
    stepFunctions.handle('SendTaskSuccess', answer).then(
      () => print('accepted'),
      (error: Error) => print(`refused ${error.message}`),
    );
  }
});

const execution = await stepFunctions.engine.finished(executionArn);
print(`closed ${execution.status} ${execution.output}`);
process.stdin.destroy();
