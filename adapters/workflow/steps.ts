/**
 * The steps of an operation as functions of one process, by the names that the state machine's definition calls them by: what an
 * operator's terminal runs when Lambda or Step Functions is away. Each parses its input as the Lambda function does, and fails
 * with the same names of errors.
 */
import type { LambdaFunction } from '../asl/lambda-invoker.ts';
import { abortOperation } from './abort.ts';
import { beginOperation } from './begin.ts';
import { chooseTarget } from './choose.ts';
import { demoteOldPrimary } from './demote.ts';
import { finishOperation } from './finish.ts';
import { orderAction } from './order.ts';
import {
  parseAbortInput,
  parseBeginInput,
  parseChooseInput,
  parseDemoteInput,
  parseFinishInput,
  parseOrderInput,
} from './parse-state-input.ts';
import type { WorkflowDeps } from './ports.ts';

export type StepName = 'begin' | 'order' | 'demote' | 'choose' | 'finish' | 'abort';

/** `execution` is what the operation's record and history call this run. */
export function workflowSteps(
  deps: WorkflowDeps,
  execution: string,
): Readonly<Record<StepName, LambdaFunction>> {
  return {
    begin: (event) => beginOperation(deps, { ...parseBeginInput(event), execution }),
    order: (event) => orderAction(deps, parseOrderInput(event)),
    demote: (event) => demoteOldPrimary(deps, parseDemoteInput(event)),
    choose: (event) => chooseTarget(deps, parseChooseInput(event)),
    finish: (event) => finishOperation(deps, parseFinishInput(event)),
    abort: (event) => abortOperation(deps, { ...parseAbortInput(event), execution }),
  };
}

/** The definition as it is in the tree, with each function's placeholder replaced by the step's name. Throws where one is unknown. */
export function definitionForSteps(definition: string): string {
  return definition.replaceAll(/\$\{(\w+)\}/g, (whole, placeholder: string) => {
    const name = placeholder.replace(/FunctionArn$/, '').toLowerCase();
    const known: readonly string[] = [
      'begin',
      'order',
      'demote',
      'choose',
      'finish',
      'abort',
    ] satisfies StepName[];
    if (!known.includes(name)) throw new Error(`the definition has a placeholder that is no step: ${whole}`);
    return name;
  });
}
