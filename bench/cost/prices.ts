/**
 * What AWS asks for what this project uses: us-east-1, on demand, without any free allowance, in USD. Everything that a figure in USD rests
 * on is here; a price that has changed is changed here and nowhere else.
 */

export interface Price {
  /** For one `unit`. */
  readonly usd: number;
  readonly unit: string;
  /** AWS's page that has it. */
  readonly page: string;
  /** How it came here. `recalled`: from memory, not read on that page; to be checked there before anybody relies on it. */
  readonly source: 'recalled' | 'read elsewhere';
}

const perMillion = 1e-6;

export const pricesAsOf = '2026-11-25';
export const pricesRegion = 'us-east-1';

export const prices = {
  dynamoDbWriteUnit: {
    usd: 0.625 * perMillion,
    unit: 'write request unit, standard table class',
    page: 'https://aws.amazon.com/dynamodb/pricing/on-demand/',
    source: 'read elsewhere',
  },
  dynamoDbReadUnit: {
    usd: 0.125 * perMillion,
    unit: 'read request unit, standard table class',
    page: 'https://aws.amazon.com/dynamodb/pricing/on-demand/',
    source: 'read elsewhere',
  },
  dynamoDbStorageGbMonth: {
    usd: 0.25,
    unit: 'GB and month, standard table class',
    page: 'https://aws.amazon.com/dynamodb/pricing/on-demand/',
    source: 'recalled',
  },
  dynamoDbBackupGbMonth: {
    usd: 0.2,
    unit: 'GB and month of point-in-time recovery',
    page: 'https://aws.amazon.com/dynamodb/pricing/on-demand/',
    source: 'recalled',
  },
  stateTransition: {
    usd: 25 * perMillion,
    unit: 'state transition of a standard workflow',
    page: 'https://aws.amazon.com/step-functions/pricing/',
    source: 'recalled',
  },
  lambdaRequest: {
    usd: 0.2 * perMillion,
    unit: 'request',
    page: 'https://aws.amazon.com/lambda/pricing/',
    source: 'recalled',
  },
  lambdaGbSecond: {
    usd: 0.0000133334,
    unit: 'GB-second on arm64, first tier',
    page: 'https://aws.amazon.com/lambda/pricing/',
    source: 'recalled',
  },
  trace: {
    usd: 5 * perMillion,
    unit: 'trace recorded',
    page: 'https://aws.amazon.com/xray/pricing/',
    source: 'read elsewhere',
  },
  runCommand: {
    usd: 0,
    unit: 'command to an EC2 instance',
    page: 'https://aws.amazon.com/systems-manager/pricing/',
    source: 'recalled',
  },
  ec2Call: {
    usd: 0,
    unit: 'API call',
    page: 'https://aws.amazon.com/ec2/pricing/on-demand/',
    source: 'recalled',
  },
  scheduledRuleInvocation: {
    usd: 0,
    unit: 'invocation of a target by a scheduled rule on the default bus',
    page: 'https://aws.amazon.com/eventbridge/pricing/',
    source: 'recalled',
  },
  customMetricMonth: {
    usd: 0.3,
    unit: 'custom metric and month, first 10,000',
    page: 'https://aws.amazon.com/cloudwatch/pricing/',
    source: 'recalled',
  },
  alarmMonth: {
    usd: 0.1,
    unit: 'alarm of standard resolution and month',
    page: 'https://aws.amazon.com/cloudwatch/pricing/',
    source: 'recalled',
  },
  dashboardMonth: {
    usd: 3,
    unit: 'dashboard and month',
    page: 'https://aws.amazon.com/cloudwatch/pricing/',
    source: 'recalled',
  },
  keyMonth: {
    usd: 1,
    unit: 'customer managed key and month',
    page: 'https://aws.amazon.com/kms/pricing/',
    source: 'recalled',
  },
  logGb: {
    usd: 0.5,
    unit: 'GB of logs taken in',
    page: 'https://aws.amazon.com/cloudwatch/pricing/',
    source: 'recalled',
  },
} as const satisfies Readonly<Record<string, Price>>;

export type PriceName = keyof typeof prices;
