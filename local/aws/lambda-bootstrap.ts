/**
 * The inside of a Lambda process: loads the handler and answers one invocation at a time. It talks to the
 * runtime over the IPC channel of the child process and not over Lambda's HTTP Runtime API: a handler cannot
 * see the difference, it saves a loopback round trip an invocation, and a closed channel is at once the news
 * that the runtime died, on which this process must end too.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire, registerHooks } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import vm from 'node:vm';
import type { FromLambda, InvocationError, ToLambda } from './lambda-process.ts';

type Handler = (event: unknown, context: unknown) => unknown;

const send = process.send?.bind(process);
if (send === undefined) throw new Error('this program is started by the embedded runtime only');
const answer = (message: FromLambda) => send(message, () => {});
// A handler has no such thing as a parent in AWS.
Reflect.deleteProperty(process, 'send');

process.on('disconnect', () => process.exit(0));
process.on('uncaughtException', (error) => exitWith(129, error, 'Runtime.UncaughtException'));
process.on('unhandledRejection', (reason) => exitWith(128, reason, 'Runtime.UnhandledPromiseRejection'));

let current: string | undefined;

function exitWith(code: number, error: unknown, errorType: string): void {
  process.stderr.write(`${inspect(error)}\n`);
  if (current === undefined || send === undefined) process.exit(code);
  const failure = { ...describeError(error), errorType };
  send({ kind: 'failed', requestId: current, error: failure, fatal: true } satisfies FromLambda, () =>
    process.exit(code),
  );
}

function describeError(error: unknown): InvocationError {
  if (error instanceof Error) {
    return { errorType: error.name, errorMessage: error.message, trace: (error.stack ?? '').split('\n') };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

/** The SDK is part of Lambda's Node runtime; bundles leave it out, so it is found beside this program. */
function provideAwsSdk(): void {
  const provided = createRequire(import.meta.url);
  registerHooks({
    resolve(specifier, context, nextResolve) {
      if (!specifier.startsWith('@aws-sdk/') && !specifier.startsWith('@smithy/')) {
        return nextResolve(specifier, context);
      }
      try {
        return nextResolve(specifier, context);
      } catch {
        // `require` looks from its caller's path whatever the context says, hence a full path for it.
        return context.conditions.includes('require')
          ? nextResolve(provided.resolve(specifier), context)
          : nextResolve(specifier, { ...context, parentURL: import.meta.url });
      }
    },
  });
}

/** Lambda treats `.js` as CommonJS unless the function's own package.json says otherwise. */
async function loadModule(taskRoot: string, file: string): Promise<Record<string, unknown>> {
  const base = join(taskRoot, file);
  for (const extension of ['.mjs', '.js', '.cjs']) {
    const path = base + extension;
    if (!existsSync(path)) continue;
    if (extension === '.mjs' || (extension === '.js' && hasModulePackage(taskRoot))) {
      return (await import(pathToFileURL(path).href)) as Record<string, unknown>;
    }
    return loadCommonJs(path, taskRoot);
  }
  throw Object.assign(new Error(`Error: Cannot find module '${file}'`), {
    name: 'Runtime.ImportModuleError',
  });
}

function hasModulePackage(taskRoot: string): boolean {
  const file = join(taskRoot, 'package.json');
  return existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as { type?: string }).type === 'module';
}

/** Not `require`: a package.json in a folder above, which is not deployed, must not make it an ES module. */
function loadCommonJs(path: string, taskRoot: string): Record<string, unknown> {
  const compiled = vm.compileFunction(
    readFileSync(path, 'utf8'),
    ['exports', 'require', 'module', '__filename', '__dirname'],
    { filename: path, importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER },
  );
  const module = { exports: {} as Record<string, unknown> };
  compiled.call(module.exports, module.exports, createRequire(path), module, path, taskRoot);
  return module.exports;
}

async function loadHandler(): Promise<Handler> {
  const taskRoot = process.env['LAMBDA_TASK_ROOT'] ?? process.cwd();
  const name = process.env['_HANDLER'] ?? '';
  const dot = name.lastIndexOf('.');
  const exported = (await loadModule(taskRoot, name.slice(0, dot)))[name.slice(dot + 1)];
  if (typeof exported !== 'function') {
    throw Object.assign(new Error(`${name} is undefined or not exported`), {
      name: 'Runtime.HandlerNotFound',
    });
  }
  if (exported.length >= 3) {
    const message =
      'AWS Lambda has removed support for callback-based function handlers starting with Node.js 24';
    throw Object.assign(new Error(message), { name: 'Runtime.CallbackHandlerDeprecated' });
  }
  return exported as Handler;
}

async function invoke(handler: Handler, message: ToLambda): Promise<void> {
  current = message.requestId;
  const deadline = performance.now() + message.timeoutMs;
  try {
    const context = {
      awsRequestId: message.requestId,
      callbackWaitsForEmptyEventLoop: true,
      functionName: process.env['AWS_LAMBDA_FUNCTION_NAME'],
      functionVersion: process.env['AWS_LAMBDA_FUNCTION_VERSION'],
      invokedFunctionArn: message.functionArn,
      memoryLimitInMB: process.env['AWS_LAMBDA_FUNCTION_MEMORY_SIZE'],
      logGroupName: process.env['AWS_LAMBDA_LOG_GROUP_NAME'],
      logStreamName: process.env['AWS_LAMBDA_LOG_STREAM_NAME'],
      getRemainingTimeInMillis: () => Math.max(0, Math.round(deadline - performance.now())),
    };
    const result = await handler(JSON.parse(message.payload), context);
    const payload = JSON.stringify(result) ?? 'null';
    answer({ kind: 'result', requestId: message.requestId, payload });
  } catch (error) {
    answer({ kind: 'failed', requestId: message.requestId, error: describeError(error), fatal: false });
  } finally {
    current = undefined;
  }
}

provideAwsSdk();
try {
  const handler = await loadHandler();
  process.on('message', (message) => void invoke(handler, message as ToLambda));
  answer({ kind: 'ready' });
} catch (error) {
  process.stderr.write(`${inspect(error)}\n`);
  send({ kind: 'init-failed', error: describeError(error) } satisfies FromLambda, () => process.exit(1));
}
