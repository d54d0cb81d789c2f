/**
 * Which services are away: a test's way to take DynamoDB, Step Functions or any other service from all its
 * clients at once while the process that plays them lives on.
 */

/** The services that the endpoint plays. */
export const serviceNames = ['dynamodb', 'states', 'ssm', 'ec2', 'lambda', 'secretsmanager'] as const;
export type ServiceName = (typeof serviceNames)[number];

/** `refuse` cuts the connection without an answer, `hang` accepts a request and never answers it. */
export type AwayMode = 'refuse' | 'hang';

export type Away = {
  set(service: ServiceName, mode: AwayMode | null): void;
  get(service: ServiceName): AwayMode | null;
};

export function createAway(): Away {
  const modes = new Map<ServiceName, AwayMode>();
  return {
    set(service, mode) {
      if (mode === null) modes.delete(service);
      else modes.set(service, mode);
    },
    get: (service) => modes.get(service) ?? null,
  };
}

export function isServiceName(value: unknown): value is ServiceName {
  return serviceNames.some((name) => name === value);
}

export function isAwayMode(value: unknown): value is AwayMode {
  return value === 'refuse' || value === 'hang';
}
