/**
 * What an EC2 instance knows of itself, from its metadata service, version 2 alone (a token by PUT first): version 1 can be
 * reached through a proxy that was fooled, and instances of a cluster have it turned off.
 */

export interface InstanceFacts {
  readonly instanceId: string;
  /** Its first private IPv4 address. */
  readonly address: string;
  readonly region: string;
  readonly zone: string;
}

const linkLocal = 'http://169.254.169.254';
const tokenSeconds = 60;
const attempts = 5;
const attemptTimeoutMs = 2_000;
const pauseMs = 500;

/** Throws when nobody answers, or with something else than an instance's facts. */
export async function readInstanceFacts(endpoint: string = linkLocal): Promise<InstanceFacts> {
  const ask = (path: string, init: RequestInit) => askUntilAnswered(`${endpoint}/latest/${path}`, init);
  const token = await ask('api/token', {
    method: 'PUT',
    headers: { 'x-aws-ec2-metadata-token-ttl-seconds': String(tokenSeconds) },
  });
  const read = async (path: string) => {
    const value = await ask(`meta-data/${path}`, { headers: { 'x-aws-ec2-metadata-token': token } });
    if (!/^[A-Za-z0-9.:-]+$/.test(value)) throw new Error(`the metadata service's ${path} is no value`);
    return value;
  };
  return {
    instanceId: await read('instance-id'),
    address: await read('local-ipv4'),
    region: await read('placement/region'),
    zone: await read('placement/availability-zone'),
  };
}

async function askUntilAnswered(url: string, init: RequestInit): Promise<string> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(attemptTimeoutMs) });
      if (answer.status === 200) return (await answer.text()).trim();
      throw new Error(`status ${answer.status}`);
    } catch (error) {
      if (attempt === attempts) throw new Error(`${url}: ${reasonOf(error)}`);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

/** fetch hides why in the cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
