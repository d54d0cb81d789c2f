/**
 * A drill by schedule: one cluster, whose endpoint this function reaches because it is in the VPC. A drill that is refused or fails is an
 * error of the function, so that its alarm tells; it is not tried again.
 */
import { CanaryWriter } from '../adapters/drill/canary-writer.ts';
import { runDrill } from '../adapters/drill/run-drill.ts';
import { need } from '../adapters/workflow/workflow-error.ts';
import { parseDatabaseSecret } from '../core/wire/parse-database-secret.ts';
import { dsnOf, readDrillSettings } from './drill-settings.ts';
import { wireFunction } from './wire-function.ts';

/** A row is due this often. */
const everyMs = 10;

export const handler = wireFunction('drill', ['sfn', 'ssm'], async ({ deps, environment, clients }) => {
  const settings = readDrillSettings(process.env);
  const { cluster, table, ca } = settings;
  const secret = parseDatabaseSecret(need(await clients.readSecret(settings.secretParameter)));
  const dsn = dsnOf(settings, secret);
  const run = await runDrill(
    {
      store: deps.storeOf(cluster),
      start: async (name, input) => {
        const { stateMachineArn } = environment;
        const started = await clients.startExecution({ stateMachineArn, name, input });
        if (started.kind !== 'ok') return started;
        if (started.value.state === 'exists')
          return { kind: 'denied', message: `there is an execution ${name} already` };
        return { kind: 'ok', value: started.value.executionArn };
      },
      status: (executionArn) => clients.describeExecution(executionArn),
      canary: (drill) => new CanaryWriter({ dsn, drill, everyMs, table, ...(ca === null ? {} : { ca }) }),
      // This function makes switchovers only.
      inject: () => Promise.reject(new Error('no fault can be injected from here')),
      now: deps.now,
      sleep: deps.sleep,
      wallMs: () => Date.parse(deps.time()),
      newId: deps.newId,
      who: deps.who,
      say: (line) => deps.log('info', 'drill', { cluster, detail: line }),
    },
    { cluster, kind: 'switchover', requestedBy: 'schedule', window: settings.window, again: false, everyMs },
  );
  if (run.kind === 'refused') throw new Error(`no drill: ${run.decision.reason} (${run.decision.rule})`);
  const { drill } = run;
  if (drill.canary !== null) deps.measure(cluster, { DrillGapMilliseconds: drill.canary.gapMs });
  if (drill.status !== 'succeeded') throw new Error(`the drill ${drill.id} failed: ${drill.outcome}`);
  return drill;
});
