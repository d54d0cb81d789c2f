/** `Aborting` as a Lambda function: the compensation, decided by the lease. */
import { abortOperation } from '../adapters/workflow/abort.ts';
import { parseAbortInput } from '../adapters/workflow/parse-state-input.ts';
import { wireFunction } from './wire-function.ts';

export const handler = wireFunction('abort', [], ({ deps }, event) =>
  abortOperation(deps, parseAbortInput(event)),
);
