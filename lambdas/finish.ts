/** `Stable` as a Lambda function: closes an operation that has a new primary, and settles the old host. */
import { finishOperation } from '../adapters/workflow/finish.ts';
import { parseFinishInput } from '../adapters/workflow/parse-state-input.ts';
import { wireFunction } from './wire-function.ts';

export const handler = wireFunction('finish', ['ssm'], ({ deps }, event) =>
  finishOperation(deps, parseFinishInput(event)),
);
