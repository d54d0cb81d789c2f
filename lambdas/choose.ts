/** `ChoosingTarget` as a Lambda function: who takes the lease next. */
import { chooseTarget } from '../adapters/workflow/choose.ts';
import { parseChooseInput } from '../adapters/workflow/parse-state-input.ts';
import { wireFunction } from './wire-function.ts';

export const handler = wireFunction('choose', [], ({ deps }, event) =>
  chooseTarget(deps, parseChooseInput(event)),
);
