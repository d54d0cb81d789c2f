/** What one operation (a switchover, a failover) asks of AWS beyond what the cluster asks for at rest, and what that costs. Pure. */
import type { UsageLine } from '../../local/aws/usage-meter.ts';
import type { AtRest } from './monthly-cost.ts';
import { prices } from './prices.ts';

export interface OperationCost {
  /** Of the table: more than at rest in the same time. */
  readonly requests: number;
  readonly refused: number;
  readonly readUnits: number;
  readonly writeUnits: number;
  readonly stateTransitions: number;
  readonly invocations: number;
  readonly gbSeconds: number;
  readonly commands: number;
  readonly ec2Calls: number;
  readonly usd: number;
}

/**
 * `lines`: counted from the operation's ask until the cluster was whole again, `seconds` later; `counts`: whose requests are the
 * cluster's own.
 */
export function operationCost(
  lines: readonly UsageLine[],
  seconds: number,
  rest: AtRest,
  counts: (who: string) => boolean,
): OperationCost {
  const own = lines.filter(({ who }) => counts(who));
  const table = own.filter(({ service }) => service === 'dynamodb');
  const more = (name: 'requests' | 'readUnits' | 'writeUnits') => {
    const atRest = sum([...rest.perCluster.values()].map((rates) => rates[name])) * seconds;
    return Math.max(0, sum(table.map((line) => line[name])) - atRest);
  };
  // The sentinel comes by its own schedule; what it costs is counted at rest.
  const functions = own.filter(({ service, what }) => service === 'lambda' && what !== 'sentinel');
  const figures = {
    requests: more('requests'),
    refused: sum(table.map(({ refused }) => refused)),
    readUnits: more('readUnits'),
    writeUnits: more('writeUnits'),
    stateTransitions: transitionsOf(own),
    invocations: sum(functions.map(({ requests }) => requests)),
    gbSeconds: sum(functions.map(({ gbSeconds }) => gbSeconds)),
    commands: requestsOf(own, ({ service, operation }) => service === 'ssm' && operation === 'SendCommand'),
    ec2Calls: requestsOf(own, ({ service }) => service === 'ec2'),
  };
  return { ...figures, usd: priceOf(figures) };
}

/** Each state that is entered, and each retry of a task, which is billed as one more. */
function transitionsOf(lines: readonly UsageLine[]): number {
  const states = lines.filter(({ service }) => service === 'states');
  const entered = requestsOf(states, ({ operation }) => operation.endsWith('StateEntered'));
  const tasks = requestsOf(states, ({ operation }) => operation === 'TaskStateEntered');
  const scheduled = requestsOf(states, ({ operation }) => operation === 'TaskScheduled');
  return entered + Math.max(0, scheduled - tasks);
}

function priceOf(figures: Omit<OperationCost, 'usd'>): number {
  return (
    figures.readUnits * prices.dynamoDbReadUnit.usd +
    figures.writeUnits * prices.dynamoDbWriteUnit.usd +
    figures.stateTransitions * prices.stateTransition.usd +
    figures.invocations * (prices.lambdaRequest.usd + prices.trace.usd) +
    figures.gbSeconds * prices.lambdaGbSecond.usd +
    figures.commands * prices.runCommand.usd +
    figures.ec2Calls * prices.ec2Call.usd
  );
}

function requestsOf(lines: readonly UsageLine[], test: (line: UsageLine) => boolean): number {
  return sum(lines.filter(test).map(({ requests }) => requests));
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
