/**
 * One drill from begin to end: is the cluster well, does the canary write, then the switchover or the fault, then what the canary saw, into
 * the history. The operation is an ordinary one of the state machine: a drill that dies in the middle leaves one that ends by itself,
 * and an item that says `running`.
 *
 * | step      | left for                                                                                        |
 * |-----------|-------------------------------------------------------------------------------------------------|
 * | looking   | refused, with nothing written, unless `decideDrill` says go; else writing                       |
 * | writing   | failed, with nothing moved, when the canary cannot write; else switching                        |
 * | switching | settling, when the execution has ended, or another primary is there after the fault, or the time is up |
 * | settling  | checking, when a row was acknowledged after the end, or the time is up                          |
 * | checking  | succeeded when the operation did, no row is lost and no client saw an error; else failed. After a fault clients see errors, and an asynchronous cluster may lose rows: both are only noted |
 */
import { type DrillDecision, type DrillFacts, decideDrill } from '../../core/drill/decide-drill.ts';
import type { DrillWindow } from '../../core/drill/drill-window.ts';
import { allHaveReported, type Reports } from '../../core/health/unwell-hosts.ts';
import type { CanaryFigures, Drill, DrillKind } from '../../core/model/drill.ts';
import type { Lease } from '../../core/model/lease.ts';
import type { Operation } from '../../core/model/operation.ts';
import { reportPaceMs } from '../../core/model/report-pace.ts';
import type { ClusterStore } from '../aws/cluster-store.ts';
import type { Answer } from '../aws/store-answer.ts';
import { need } from '../workflow/workflow-error.ts';
import type { Canary } from './canary-writer.ts';

export interface DrillDeps {
  readonly store: ClusterStore;
  /** Starts an execution of the state machine; its ARN. */
  readonly start: (name: string, input: string) => Promise<Answer<string>>;
  readonly status: (executionArn: string) => Promise<Answer<'running' | 'ended' | 'absent'>>;
  readonly canary: (drill: string) => Canary;
  /** Of kind `fault`: breaks the primary's host. Throws when it could not. */
  readonly inject: (primary: { readonly node: string; readonly instanceId: string }) => Promise<void>;
  /** Monotonic, in ms. */
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  /** Wall clock, in ms since 1970: for the window and the history. */
  readonly wallMs: () => number;
  readonly newId: () => string;
  /** Who speaks in events. */
  readonly who: string;
  /** What is being done now, for a terminal or a log. */
  readonly say: (line: string) => void;
}

export interface DrillRequest {
  readonly cluster: string;
  readonly kind: DrillKind;
  readonly requestedBy: string;
  readonly window: DrillWindow | null;
  /** Although the last one failed. */
  readonly again: boolean;
  readonly everyMs: number;
}

export type DrillRun =
  | { readonly kind: 'refused'; readonly decision: DrillDecision }
  | { readonly kind: 'ended'; readonly drill: Drill };

/** Within this long each host has reported, or is silent. */
const reportsLimitMs = reportPaceMs.quiet + 5_000;
const lookEveryMs = 1_000;
/** So long the canary writes before the operation: connections are made, and it is seen to work. */
const warmUpMs = 2_000;
const operationLimitMs = 10 * 60_000;
const followEveryMs = 500;
/** After the operation a row must be acknowledged within this. */
const settleLimitMs = 30_000;
const settleMs = 2_000;

/** Throws the store's errors, as WorkflowError, before anything was started. */
export async function runDrill(deps: DrillDeps, request: DrillRequest): Promise<DrillRun> {
  const decision = decideDrill(await look(deps, request));
  if (!decision.go) return { kind: 'refused', decision };
  const { lease } = need(await deps.store.readHead());
  if (lease === null) throw new Error('the lease that was there is gone');
  const begun: Drill = {
    id: deps.newId(),
    kind: request.kind,
    status: 'running',
    requestedBy: request.requestedBy,
    startedAt: timeOf(deps),
    endedAt: null,
    from: lease.holder,
    to: null,
    operation: null,
    everyMs: request.everyMs,
    canary: null,
    outcome: '',
  };
  need(await deps.store.putDrill(begun));
  await tell(deps, 'drill_started', begun, `${request.kind} from ${begun.from}`);
  const drill = { ...begun, ...(await perform(deps, request, begun, lease)), endedAt: timeOf(deps) };
  need(await deps.store.putDrill(drill));
  await tell(deps, 'drill_ended', drill, `${drill.status}: ${drill.outcome}`);
  return { kind: 'ended', drill };
}

function timeOf(deps: DrillDeps): string {
  return new Date(deps.wallMs()).toISOString();
}

/** Two looks at the reports, far enough apart for every living host to have written between them. */
async function look(deps: DrillDeps, request: DrillRequest): Promise<DrillFacts> {
  const { store } = deps;
  const earlier = await readReports(store);
  const first = need(await store.readHead());
  const last = need(await store.listDrills(1))[0] ?? null;
  const known = {
    ...{ window: request.window, again: request.again, earlier, last },
    lastStartedMs: last === null ? 0 : Date.parse(last.startedAt),
  };
  // What forbids a drill whatever the hosts say is said at once: as if all of them had reported again.
  const early = decideDrill({ ...known, ...first, reports: earlier, nowMs: deps.wallMs() });
  if (early.rule !== 'host-unwell') return { ...known, ...first, reports: earlier, nowMs: deps.wallMs() };
  deps.say('waiting for a new report of every host');
  const untilMs = deps.now() + reportsLimitMs;
  let reports = earlier;
  while (first.record !== null && deps.now() < untilMs && !allHaveReported(first.record, earlier, reports)) {
    await deps.sleep(lookEveryMs);
    reports = await readReports(store);
  }
  return { ...known, ...need(await store.readHead()), reports, nowMs: deps.wallMs() };
}

async function readReports(store: ClusterStore): Promise<Reports> {
  const [nodes, proxies] = await Promise.all([store.readNodes(), store.readProxies()]);
  return { nodes: need(nodes), proxies: need(proxies) };
}

type Ending = Pick<Drill, 'status' | 'outcome'> & Partial<Drill>;

async function perform(deps: DrillDeps, request: DrillRequest, drill: Drill, lease: Lease): Promise<Ending> {
  const canary = deps.canary(drill.id);
  try {
    await canary.start();
  } catch (error) {
    return { status: 'failed', outcome: `the canary cannot write through the endpoint: ${textOf(error)}` };
  }
  try {
    await deps.sleep(warmUpMs);
    if (canary.figures().acknowledged === 0)
      return { status: 'failed', outcome: `the canary cannot write: ${errorsOf(canary) || 'no answer'}` };
    canary.mark();
    const fault = request.kind === 'fault';
    const ended = fault ? await suffer(deps, drill, lease) : await operate(deps, request, drill);
    await settle(deps, canary);
    const seen = canary.figures();
    await canary.stop();
    const figures = { ...seen, lost: await countLost(deps, canary) };
    const forgiven = { errors: fault, losses: fault && lease.sync.mode === 'off' };
    return { ...ended.facts, ...judge(ended, figures, { forgiven, errorTexts: canary.errorTexts }) };
  } finally {
    await canary.stop();
  }
}

interface Operated {
  readonly succeeded: boolean;
  readonly outcome: string;
  readonly facts: Pick<Drill, 'operation' | 'to'>;
}

async function operate(deps: DrillDeps, request: DrillRequest, drill: Drill): Promise<Operated> {
  deps.say(`${request.kind} from ${drill.from}`);
  const input = {
    cluster: request.cluster,
    kind: request.kind,
    reason: `drill ${drill.id}`,
    requestedBy: request.requestedBy,
  };
  const nothing = { operation: null, to: null };
  const started = await deps.start(`drill-${drill.id}`, JSON.stringify(input));
  if (started.kind !== 'ok')
    return { succeeded: false, outcome: `it could not be started: ${started.message}`, facts: nothing };
  const untilMs = deps.now() + operationLimitMs;
  let status: 'running' | 'ended' | 'absent' = 'running';
  while (status === 'running' && deps.now() < untilMs) {
    await deps.sleep(followEveryMs);
    const answer = await deps.status(started.value);
    // Silence of a service says nothing of the execution.
    if (answer.kind === 'ok') status = answer.value;
  }
  const operation = await findOperation(deps, started.value);
  if (operation === null)
    return { succeeded: false, outcome: 'the execution was refused or left no operation', facts: nothing };
  const facts = { operation: operation.id, to: operation.status === 'succeeded' ? await holder(deps) : null };
  if (status === 'running') return { succeeded: false, outcome: 'the operation does not end', facts };
  return { succeeded: operation.status === 'succeeded', outcome: operation.outcome, facts };
}

/** The fault, and then whatever the agents make of it: another primary, with no operation under way any more. */
async function suffer(deps: DrillDeps, drill: Drill, { epoch }: Lease): Promise<Operated> {
  deps.say(`breaking the host of ${drill.from}`);
  const facts = { operation: null, to: null };
  try {
    const { nodes } = await readReports(deps.store);
    const report = nodes.find(({ node }) => node === drill.from);
    if (report === undefined) throw new Error(`${drill.from} does not report any more`);
    await deps.inject(report);
  } catch (error) {
    return { succeeded: false, outcome: `the fault could not be injected: ${textOf(error)}`, facts };
  }
  const untilMs = deps.now() + operationLimitMs;
  while (deps.now() < untilMs) {
    await deps.sleep(followEveryMs);
    const head = await deps.store.readHead();
    if (head.kind !== 'ok') continue;
    const { record, lease } = head.value;
    if (record === null || lease === null || record.operation !== null) continue;
    if (lease.state !== 'held' || lease.epoch <= epoch) continue;
    return {
      succeeded: true,
      outcome: `${lease.holder} is primary after ${drill.from}`,
      facts: { operation: record.lastFailover?.operation ?? null, to: lease.holder },
    };
  }
  return { succeeded: false, outcome: 'nobody took over', facts };
}

async function findOperation(deps: DrillDeps, executionArn: string): Promise<Operation | null> {
  const recent = await deps.store.listOperations(20);
  if (recent.kind !== 'ok') return null;
  return recent.value.find((operation) => operation.executionArn === executionArn) ?? null;
}

async function holder(deps: DrillDeps): Promise<string | null> {
  const head = await deps.store.readHead();
  return head.kind === 'ok' ? (head.value.lease?.holder ?? null) : null;
}

/** The gap must be over before it is read: rows are acknowledged again, or it counts for what it has come to. */
async function settle(deps: DrillDeps, canary: Canary): Promise<void> {
  const before = canary.figures().acknowledged;
  const untilMs = deps.now() + settleLimitMs;
  await deps.sleep(settleMs);
  while (canary.figures().acknowledged === before && deps.now() < untilMs) await deps.sleep(lookEveryMs);
}

async function countLost(deps: DrillDeps, canary: Canary): Promise<number | null> {
  try {
    return await canary.countLost();
  } catch (error) {
    deps.say(`the canary's rows could not be looked for: ${textOf(error)}`);
    return null;
  }
}

interface Judging {
  readonly errorTexts: readonly string[];
  /** What belongs to the fault, and is only noted. */
  readonly forgiven: { readonly errors: boolean; readonly losses: boolean };
}

function judge(operated: Operated, canary: CanaryFigures, { errorTexts, forgiven }: Judging): Ending {
  const errors = forgiven.errors ? 0 : canary.failed + canary.unknown;
  const lost = forgiven.losses ? 0 : (canary.lost ?? 0);
  const wrong = [
    ...(operated.succeeded ? [] : [operated.outcome || 'the operation did not succeed']),
    ...(canary.lost === null ? ["the canary's rows could not be looked for"] : []),
    ...(lost === 0 ? [] : [`${lost} acknowledged rows are lost`]),
    ...(errors === 0 ? [] : [`${errors} writes got an error: ${errorTexts.join('; ')}`]),
  ];
  if (wrong.length > 0) return { status: 'failed', outcome: wrong.join('; ').slice(0, 1_000), canary };
  return { status: 'succeeded', outcome: operated.outcome, canary };
}

/** An event that cannot be written must not fail what it tells of. */
async function tell(
  deps: DrillDeps,
  kind: 'drill_started' | 'drill_ended',
  drill: Drill,
  message: string,
): Promise<void> {
  const answer = await deps.store.putEvent({
    id: deps.newId(),
    kind,
    time: timeOf(deps),
    who: deps.who,
    rule: '',
    epoch: null,
    operation: drill.operation,
    message,
    details: { drill: drill.id, ...snakeCase(drill.canary) },
  });
  if (answer.kind !== 'ok') deps.say(`an event could not be written: ${answer.message}`);
}

function snakeCase(canary: CanaryFigures | null): Readonly<Record<string, number | null>> {
  if (canary === null) return {};
  const { gapMs, acknowledged, failed, unknown, lost } = canary;
  return { gap_ms: gapMs, acknowledged, failed, unknown, lost };
}

function errorsOf(canary: Canary): string {
  return canary.errorTexts.join('; ');
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
