/**
 * What an operator does about a cluster on this machine, through AWS's own calls: asks for a switchover or failover, and starts
 * instances that a failover had EC2 stop. Nothing here reaches past the services that an operator has.
 */
import { type AwsClients, createAwsClients } from '../../adapters/aws/clients.ts';
import type { OperationKind } from '../../core/model/cluster-record.ts';
import type { ClusterHandle } from '../runtime/cluster-handle.ts';
import { readClusterState } from '../runtime/cluster-state.ts';

const callTimeoutMs = 5_000;

export class Operator {
  readonly #cluster: ClusterHandle;
  readonly #clients: AwsClients;
  #asked = 0;

  constructor(cluster: ClusterHandle) {
    const { region, awsEndpointUrl, accessKeyId, secretAccessKey } = cluster.endpoints();
    this.#cluster = cluster;
    this.#clients = createAwsClients({
      region,
      endpoint: awsEndpointUrl,
      credentials: { accessKeyId, secretAccessKey },
    });
  }

  /** Starts an execution and does not wait for its end. Says what Step Functions answered. */
  async ask(kind: OperationKind, reason: string, target?: string): Promise<string> {
    this.#asked += 1;
    const { cluster } = this.#cluster.folder;
    const input = { cluster, kind, reason, ...(target === undefined ? {} : { target }) };
    const answer = await this.#clients.startExecution(
      {
        stateMachineArn: this.#cluster.endpoints().stateMachineArn,
        name: `${kind}-${process.pid}-${Math.round(performance.now())}-${this.#asked}`,
        input: JSON.stringify(input),
      },
      { timeoutMs: callTimeoutMs },
    );
    return answer.kind === 'ok' ? answer.value.state : answer.kind;
  }

  /** EC2's word for the state of a host's instance; `unknown` when it does not answer. */
  async instanceState(host: string): Promise<string> {
    const answer = await this.#clients.describeInstance(this.#instanceId(host), { timeoutMs: callTimeoutMs });
    return answer.kind === 'ok' ? answer.value : 'unknown';
  }

  /** Starts every instance that EC2 says is stopped. Says which. */
  async startStopped(): Promise<string[]> {
    const started: string[] = [];
    for (const host of [...this.#cluster.wanted.nodes, ...this.#cluster.wanted.proxies]) {
      if ((await this.instanceState(host)) !== 'stopped') continue;
      const answer = await this.#clients.startInstance(this.#instanceId(host), { timeoutMs: callTimeoutMs });
      if (answer.kind === 'ok') started.push(host);
    }
    return started;
  }

  close(): void {
    this.#clients.destroy();
  }

  #instanceId(host: string): string {
    const instanceId = readClusterState(this.#cluster.folder)?.hosts[host]?.instanceId;
    if (instanceId === undefined) throw new Error(`there is no host ${host}`);
    return instanceId;
  }
}
