/**
 * A cluster of three nodes and two proxies in memory whose hosts report at each tick and upgrade when they are told to, for the tests of
 * an upgrade: what was asked of which host, in which order, and while which others were away.
 */
import type { UpgradeDeps } from '../../../adapters/upgrade/run-upgrade.ts';
import type { Reports } from '../../../core/health/unwell-hosts.ts';
import type { NodeReport, ProxyReport } from '../../../core/model/node-report.ts';
import { createMemoryStore, createMemoryTable } from '../../support/memory-store.ts';
import { sampleLease, sampleNodeReport, sampleProxyReport, sampleRecord } from '../../support/samples.ts';

export const oldRelease = { version: '0.1.0-aaa', sha256: 'a'.repeat(64) };
export const newRelease = { version: '0.2.0-bbb', sha256: 'b'.repeat(64) };
export const otherRelease = { version: '0.3.0-ccc', sha256: 'c'.repeat(64) };
export const releases = [oldRelease, newRelease, otherRelease];
export const request = { artifact: { key: 'agent-0.2.0.tar.gz', sha256: newRelease.sha256 }, mixed: false };

export const nodes = ['node-1', 'node-2', 'node-3'];
export const proxies = ['proxy-1', 'proxy-2'];

/** Thrown in the place of the program's end. */
export class Killed extends Error {}

export class UpgradeWorld {
  readonly table = createMemoryTable();
  readonly store = createMemoryStore({ table: this.table });
  readonly release = new Map([...nodes, ...proxies].map((id) => [id, oldRelease]));
  /** `node-2 0.2.0-bbb`, `switchover`. */
  readonly did: string[] = [];
  readonly silent = new Set<string>();
  holder = 'node-1';
  /** What becomes of a command, by `did`'s word for it: an error text, or a kill before or after it has its effect. */
  readonly fate = new Map<string, string | { killed: 'before' | 'after' }>();
  #seq = 1;
  #nowMs = 0;
  #epoch = sampleLease.epoch;

  constructor() {
    this.table.record = {
      ...sampleRecord,
      ...{ members: nodes, proxies, operation: null, failoverState: 'stable', paused: false },
    };
    this.tick();
  }

  tick(): void {
    this.#seq += 1;
    this.table.lease = { ...sampleLease, state: 'held', holder: this.holder, epoch: this.#epoch };
    for (const node of nodes) if (!this.silent.has(node)) this.table.nodes.set(node, this.#node(node));
    for (const proxy of proxies)
      if (!this.silent.has(proxy)) this.table.proxies.set(proxy, this.#proxy(proxy));
  }

  deps(): UpgradeDeps {
    let ids = 0;
    return {
      who: 'test',
      now: () => this.#nowMs,
      sleep: async (ms) => {
        this.#nowMs += ms;
        this.tick();
      },
      time: () => '2026-11-29T08:00:00.000Z',
      newId: () => {
        ids += 1;
        return `${this.did.length}-${ids}`;
      },
      log: () => undefined,
      say: () => undefined,
      upgradeHost: async ({ id, instanceId }, { sha256 }) => {
        if (instanceId !== `i-${id}`) throw new Error(`${id} is not ${instanceId}`);
        const release = releases.find((one) => one.sha256 === sha256) ?? oldRelease;
        return await this.#do(`${id} ${release.version}`, () => this.release.set(id, release));
      },
      switchOver: async (from, epoch) => {
        if (from !== this.holder || epoch !== this.#epoch) throw new Error(`${from} is not the primary`);
        const failure = await this.#do('switchover', () => this.moveLease());
        return failure === null ? { kind: 'done' } : { kind: 'failed', reason: failure };
      },
    };
  }

  /** To a standby of the new release. */
  moveLease(): void {
    this.holder = nodes.find((node) => node !== this.holder && this.release.get(node) === newRelease) ?? '';
    this.#epoch += 1;
    this.tick();
  }

  reports(): Reports {
    return { nodes: [...this.table.nodes.values()], proxies: [...this.table.proxies.values()] };
  }

  async #do(what: string, effect: () => void): Promise<string | null> {
    const fate = this.fate.get(what);
    this.did.push(what);
    if (typeof fate === 'string') return fate;
    if (fate?.killed === 'before') throw new Killed(what);
    effect();
    this.tick();
    if (fate?.killed === 'after') throw new Killed(what);
    return null;
  }

  #node(node: string): NodeReport {
    const primary = node === this.holder;
    return {
      ...sampleNodeReport,
      ...{ node, instanceId: `i-${node}`, seq: this.#seq, role: primary ? 'primary' : 'standby' },
      ...{ streaming: !primary, agent: this.release.get(node) ?? oldRelease },
    };
  }

  #proxy(proxy: string): ProxyReport {
    return {
      ...sampleProxyReport,
      ...{ proxy, instanceId: `i-${proxy}`, seq: this.#seq, paused: false },
      ...{ epoch: this.#epoch, routesTo: this.holder, agent: this.release.get(proxy) ?? oldRelease },
    };
  }
}
