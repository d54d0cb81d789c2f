/** Orders one action from one host, for the states that wait for a host's answer. */
import { orderAction } from '../adapters/workflow/order.ts';
import { parseOrderInput } from '../adapters/workflow/parse-state-input.ts';
import { wireFunction } from './wire-function.ts';

export const handler = wireFunction('order', ['ssm', 'sfn'], ({ deps }, event) =>
  orderAction(deps, parseOrderInput(event)),
);
