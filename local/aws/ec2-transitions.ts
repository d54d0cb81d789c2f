/**
 * How an instance gets from one state to the next: one transition of an instance after the other, each ending in
 * what the host driver has really reached. A newer wish (terminate while it stops) is never overwritten by the
 * end of an older one.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostDriver } from './ec2.ts';
import type { Instance, InstanceState } from './ec2-instances.ts';

export type MutableInstance = { -readonly [key in keyof Instance]: Instance[key] };

export type Transitions = {
  /** Goes on from the state the instance is in: stops, starts or terminates the host. */
  proceed(instance: MutableInstance, force: boolean): void;
  /** Kills the host and starts it again; the state stays `running`. */
  reboot(instance: MutableInstance): void;
  /** Resolves when nothing is under way. */
  settled(): Promise<void>;
};

/** A driver that cannot stop a host is asked again, this often and at this distance; then a new request is needed. */
const stopAttempts = 40;
const stopRetryMs = 250;

const userInitiated = 'Client.UserInitiatedShutdown';

/** `enter` changes an instance's state and keeps it on disk. */
export function createTransitions(
  driver: HostDriver,
  enter: (instance: MutableInstance, state: InstanceState, reason?: string) => void,
): Transitions {
  const work = new Map<string, Promise<void>>();

  function enqueue(instance: MutableInstance, task: () => Promise<void>): void {
    const previous = work.get(instance.instanceId) ?? Promise.resolve();
    const next = previous
      .then(task)
      .catch((error: unknown) => {
        instance.stateReason = `Server.InternalError: ${(error as Error).message}`;
      })
      .finally(() => {
        if (work.get(instance.instanceId) === next) work.delete(instance.instanceId);
      });
    work.set(instance.instanceId, next);
  }

  /** Stops the host however often it takes; false when it could not be stopped within the bound. */
  async function halt(instance: MutableInstance, force: boolean): Promise<boolean> {
    for (let attempt = 1; attempt <= stopAttempts; attempt += 1) {
      try {
        await driver.stop(instance.instanceId, { force });
        return true;
      } catch (error) {
        instance.stateReason = `Server.InternalError: the host could not be stopped: ${(error as Error).message}`;
        await sleep(stopRetryMs, undefined, { ref: false });
      }
    }
    return false;
  }

  async function boot(instance: MutableInstance): Promise<void> {
    try {
      await driver.start(instance.instanceId);
    } catch (error) {
      // Whatever of it was started is not left half alive under the name of a stopped instance.
      const stopped = await halt(instance, true);
      if (stopped && instance.state === 'pending') {
        enter(instance, 'stopped', `Server.InternalError: ${(error as Error).message}`);
      }
      return;
    }
    if (instance.state !== 'pending') return;
    instance.launchedAtMs = Date.now();
    enter(instance, 'running');
  }

  async function finish(instance: MutableInstance, force: boolean): Promise<void> {
    const wanted = instance.state;
    switch (wanted) {
      case 'stopping':
        if ((await halt(instance, force)) && instance.state === wanted)
          enter(instance, 'stopped', userInitiated);
        return;
      case 'shutting-down':
        if (await halt(instance, true)) enter(instance, 'terminated', userInitiated);
        return;
      case 'pending':
        return boot(instance);
      case 'running':
      case 'stopped':
      case 'terminated':
        return;
    }
  }

  return {
    proceed(instance, force) {
      enqueue(instance, () => finish(instance, force));
    },
    reboot(instance) {
      enqueue(instance, async () => {
        if (instance.state === 'running' && (await halt(instance, true)))
          await driver.start(instance.instanceId);
      });
    },
    async settled() {
      while (work.size > 0) await Promise.all(work.values());
    },
  };
}
