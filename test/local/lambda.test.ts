/** Lambda functions run from the folders that CDK packaged, in processes of their own that fail as AWS's do. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { awsCli, type Endpoints, hasAwsCli, openEndpoints } from './fixtures/endpoints.ts';
import { type Assembly, synthesise } from './fixtures/synthesise.ts';

let assembly: Assembly;
let endpoints: Endpoints;
let common: string;
let module: string;

beforeAll(async () => {
  assembly = synthesise();
  endpoints = await openEndpoints(assembly.folder, { idleMs: 200 });
  const named = (prefix: string) =>
    endpoints.stack.functions.find(({ logicalId }) => logicalId.startsWith(prefix))?.name ?? '';
  common = named('CommonJs');
  module = named('EsModule');
  await endpoints.lambda.prewarm();
});

afterAll(async () => {
  await endpoints?.close();
  assembly?.remove();
});

async function invoke(
  name: string,
  event: unknown,
): Promise<{ value: unknown; functionError: string | undefined }> {
  const { payload, functionError } = await endpoints.lambda.invoke(name, JSON.stringify(event));
  return { value: JSON.parse(payload), functionError };
}

async function until(condition: () => boolean, timeoutMs = 5000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('the condition did not come true in time');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const isAlive = (pid: number) => {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

describe('a function', () => {
  test('sees the environment of the template and of Lambda, and nothing of ours', async () => {
    const { value } = await invoke(common, { do: 'environment' });
    const definition = endpoints.stack.functions.find(({ name }) => name === common);
    expect(value).toEqual({
      ...definition?.environment,
      AWS_REGION: 'us-east-1',
      AWS_DEFAULT_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'local',
      AWS_SECRET_ACCESS_KEY: 'local',
      AWS_LAMBDA_FUNCTION_NAME: common,
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '256',
      AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
      AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${common}`,
      AWS_LAMBDA_LOG_STREAM_NAME: 'local',
      AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
      AWS_ENDPOINT_URL: endpoints.server.endpoint,
      _HANDLER: 'index.handler',
      LAMBDA_TASK_ROOT: definition?.taskRoot,
      TZ: ':UTC',
      LANG: 'en_US.UTF-8',
    });
    expect(definition?.environment['TABLE_NAME']).toBe(endpoints.stack.tables[0]?.name);
  });

  test.each(['CommonJs', 'EsModule'])(
    'bundled as %s reaches DynamoDB with the SDK that Lambda provides',
    async (format) => {
      const name = format === 'CommonJs' ? common : module;
      const first = await invoke(name, { do: 'count' });
      const second = await invoke(name, { do: 'count' });
      expect(first.functionError).toBeUndefined();
      expect(Number(second.value)).toBe(Number(first.value) + 1);
    },
  );

  test('is found by name, ARN, version and alias, and by nothing else', async () => {
    const arn = endpoints.stack.functions.find(({ name }) => name === common)?.arn ?? '';
    for (const name of [common, arn, `${arn}:live`, `${common}:$LATEST`]) {
      expect((await invoke(name, { do: 'echo' })).value).toEqual({ do: 'echo' });
    }
    await expect(invoke('absent', {})).rejects.toMatchObject({
      code: 'ResourceNotFoundException',
      httpStatus: 404,
    });
  });

  test('keeps its process between invocations and has no channel to its parent', async () => {
    const first = await invoke(common, { do: 'process' });
    const second = await invoke(common, { do: 'process' });
    expect(second.value).toEqual(first.value);
    expect(first.value).toMatchObject({ hasSend: false });
  });

  test('gets a context with its request id and the time that is left', async () => {
    const { value } = await invoke(common, { do: 'context' });
    const { remainingMs, requestId } = value as { remainingMs: number; requestId: string };
    expect(remainingMs).toBeGreaterThan(1500);
    expect(remainingMs).toBeLessThanOrEqual(2000);
    expect(requestId).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('that returns nothing answers null', async () => {
    expect((await invoke(common, { do: 'nothing' })).value).toBeNull();
  });

  test('prints into its own log file', async () => {
    await invoke(common, { do: 'print' });
    const file = join(endpoints.folder, 'lambda', `${common}.log`);
    await until(() => existsSync(file) && readFileSync(file, 'utf8').includes('a line of the function'));
  });
});

describe('a function that fails', () => {
  test('by throwing answers with type, message and trace, and its process goes on', async () => {
    const before = await invoke(common, { do: 'process' });
    const { value, functionError } = await invoke(common, { do: 'throw' });
    expect(functionError).toBe('Unhandled');
    expect(value).toMatchObject({ errorType: 'TypeError', errorMessage: 'asked to throw' });
    expect((value as { trace: string[] }).trace[0]).toBe('TypeError: asked to throw');
    expect((await invoke(common, { do: 'process' })).value).toEqual(before.value);
  });

  test('outside of its promise takes its process with it', async () => {
    const before = await invoke(common, { do: 'process' });
    const { value } = await invoke(common, { do: 'throw-later' });
    expect(value).toMatchObject({
      errorType: 'Runtime.UncaughtException',
      errorMessage: 'thrown out of a timer',
    });
    expect((await invoke(common, { do: 'process' })).value).not.toEqual(before.value);
  });

  test('outside of its promise fails no invocation but its own', async () => {
    const events = ['throw-later', 'throw-later', 'echo', 'echo', 'echo', 'echo'];
    const answers = await Promise.all(events.map((what) => invoke(common, { do: what })));
    expect(answers.map(({ functionError }) => functionError)).toEqual([
      'Unhandled',
      'Unhandled',
      ...Array<undefined>(4).fill(undefined),
    ]);
  });

  test.each(['wait', 'spin'])(
    'to return in time (%s) is killed, and the next one gets a new process',
    async (way) => {
      const before = await invoke(common, { do: 'process' });
      const { value, functionError } = await invoke(common, { do: way, waitMs: 10_000 });
      expect(functionError).toBe('Unhandled');
      expect(value).toMatchObject({ errorType: 'Sandbox.Timedout' });
      expect((value as { errorMessage: string }).errorMessage).toMatch(/Task timed out after 2.00 seconds$/);
      expect(isAlive((before.value as { pid: number }).pid)).toBe(false);
      expect((await invoke(common, { do: 'process' })).value).not.toEqual(before.value);
    },
  );

  test.each([
    ['SIGKILL', 'Runtime exited with error: signal: killed'],
    ['exit', 'Runtime exited with error: exit status 3'],
  ])(
    'because its process ends (%s) is an error, and the next one gets a new process',
    async (way, message) => {
      const before = (await invoke(common, { do: 'process' })).value as { pid: number };
      const running = invoke(common, way === 'exit' ? { do: 'exit', code: 3 } : { do: 'wait', waitMs: 1500 });
      if (way === 'SIGKILL') process.kill(before.pid, 'SIGKILL');
      const { value, functionError } = await running;
      expect(functionError).toBe('Unhandled');
      expect(value).toMatchObject({ errorType: 'Runtime.ExitError' });
      expect((value as { errorMessage: string }).errorMessage).toContain(message);
      expect(((await invoke(common, { do: 'process' })).value as { pid: number }).pid).not.toBe(before.pid);
    },
  );
});

describe('processes', () => {
  test('are added when all are busy, up to the bound, and surplus ones end when idle', async () => {
    // Enough work that a second process is up before the first has done it all, on a busy machine too.
    const waits = Array.from({ length: 10 }, () => invoke(common, { do: 'wait', waitMs: 400 }));
    await until(() => endpoints.lambda.processIds(common).length === 2);
    const pids = (await Promise.all(waits)).map(({ value }) => (value as { pid: number }).pid);
    expect(new Set(pids).size).toBe(2);
    await until(() => endpoints.lambda.processIds(common).length === 1);
    await until(() => [...new Set(pids)].filter(isAlive).length === 1);
  });

  test('end with the runtime that was killed, even those stuck in a loop', async () => {
    const script = fileURLToPath(new URL('./fixtures/lambda-host.ts', import.meta.url));
    const host = spawn(process.execPath, [script, assembly.folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
      // It cannot clean up after itself; what it leaves goes with the folder of this test.
      env: { ...process.env, TMPDIR: endpoints.folder },
    });
    const lines = createInterface({ input: host.stdout });
    const [line] = (await once(lines, 'line')) as [string];
    const pids = JSON.parse(line) as number[];
    expect(pids).toHaveLength(2);
    expect(pids.every(isAlive)).toBe(true);
    host.kill('SIGKILL');
    await until(() => !pids.some(isAlive));
  });
});

describe('the invocation endpoint', () => {
  const post = (name: string, body: string, headers: Record<string, string> = {}) =>
    fetch(`${endpoints.server.endpoint}/2015-03-31/functions/${encodeURIComponent(name)}/invocations`, {
      method: 'POST',
      body,
      headers,
    });

  test('answers with the payload, and marks an error in a header', async () => {
    const good = await post(common, '{"do":"echo"}');
    expect([good.status, await good.json(), good.headers.get('x-amz-function-error')]).toEqual([
      200,
      { do: 'echo' },
      null,
    ]);
    const bad = await post(common, '{"do":"throw"}');
    expect([bad.status, bad.headers.get('x-amz-function-error')]).toEqual([200, 'Unhandled']);
  });

  test('refuses an absent function and a body that is not JSON, as AWS does', async () => {
    const absent = await post('absent', '{}');
    expect([absent.status, absent.headers.get('x-amzn-errortype')]).toEqual([
      404,
      'ResourceNotFoundException',
    ]);
    const garbled = await post(common, '{');
    expect([garbled.status, garbled.headers.get('x-amzn-errortype')]).toEqual([
      400,
      'InvalidRequestContentException',
    ]);
  });

  test('takes an event without waiting for its end', async () => {
    const startedMs = performance.now();
    const answer = await post(common, '{"do":"wait","waitMs":1000}', { 'x-amz-invocation-type': 'Event' });
    expect(answer.status).toBe(202);
    expect(performance.now() - startedMs).toBeLessThan(800);
  });

  test.skipIf(!hasAwsCli)('serves the AWS CLI', async () => {
    const payload = ['--cli-binary-format', 'raw-in-base64-out', '--payload', '{"do":"throw"}'];
    const { endpoint } = endpoints.server;
    const outFile = join(endpoints.folder, 'payload.json');
    const result = await awsCli(endpoint, [
      'lambda',
      'invoke',
      '--function-name',
      common,
      ...payload,
      outFile,
    ]);
    expect(result.status).toBe(0);
    expect(JSON.parse(result.stdout)).toMatchObject({ StatusCode: 200, FunctionError: 'Unhandled' });
    expect(JSON.parse(readFileSync(outFile, 'utf8'))).toMatchObject({ errorMessage: 'asked to throw' });
    const absent = await awsCli(endpoint, ['lambda', 'invoke', '--function-name', 'absent', '/dev/null']);
    expect(absent.stderr).toContain('An error occurred (ResourceNotFoundException)');
  });
});
