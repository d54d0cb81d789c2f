/** `DemotingOldPrimary` as a Lambda function: arms the hand-over, or fences the lost primary's host. */
import { demoteOldPrimary } from '../adapters/workflow/demote.ts';
import { parseDemoteInput } from '../adapters/workflow/parse-state-input.ts';
import { wireFunction } from './wire-function.ts';

export const handler = wireFunction('demote', ['ssm', 'sfn'], ({ deps }, event) =>
  demoteOldPrimary(deps, parseDemoteInput(event)),
);
