/** `Initiated` as a Lambda function: checks a request and claims the operation. */
import { beginOperation } from '../adapters/workflow/begin.ts';
import { parseBeginInput } from '../adapters/workflow/parse-state-input.ts';
import { wireFunction } from './wire-function.ts';

export const handler = wireFunction('begin', ['sfn'], ({ deps }, event) =>
  beginOperation(deps, parseBeginInput(event)),
);
