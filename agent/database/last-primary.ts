/**
 * What this host knew of its primary when it was last seen well: how far it had written and who streamed from it. A crashed
 * server cannot be asked any more, and then it decides whether a restart in place or a hand-over is shorter.
 */
import { maySucceed, nothingKnown, type RecoveryView } from '../../core/host/expected-recovery.ts';
import { type Lsn, lsnBytesBetween } from '../../core/model/lsn.ts';
import type { NodeReport } from '../../core/model/node-report.ts';
import type { Look } from './server.ts';

export class LastPrimary {
  #written: Lsn | null = null;
  #streaming: readonly string[] = [];
  #redo: Lsn | null = null;

  saw(look: Look): void {
    if (look.control !== null) this.#redo = look.control.redoLsn;
    const { observation } = look;
    if (look.postgres.kind === 'standby') {
      this.#written = null;
      this.#streaming = [];
    }
    if (look.postgres.kind !== 'primary' || observation === null) return;
    this.#written = observation.currentLsn;
    this.#streaming = observation.replication
      .filter(({ state }) => state === 'streaming')
      .map(({ applicationName }) => applicationName);
  }

  view(reports: readonly NodeReport[]): RecoveryView {
    const fit = reports.filter(maySucceed).map(({ node }) => node);
    const successors = fit.filter((node) => this.#streaming.includes(node));
    if (this.#written === null || this.#redo === null) return { ...nothingKnown, successors };
    return { walToReplayBytes: Math.max(0, lsnBytesBetween(this.#redo, this.#written)), successors };
  }
}
