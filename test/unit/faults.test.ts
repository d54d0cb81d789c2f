/** The list of faults: each has a name of its own and says what it does; a service that is away holds up what depends on it. */
import { describe, expect, it } from 'vitest';
import { doubleFaults, faultNamed, singleFaults } from '../../local/faults/all-faults.ts';
import { whileTheyAreThere } from '../../local/runtime/aws-services.ts';

const task = { resource: 'r', arguments: {} } as unknown as Parameters<
  ReturnType<typeof whileTheyAreThere>
>[0];

describe('the list of faults', () => {
  const faults = [...singleFaults, ...doubleFaults];

  it('has a name for each that no other has', () => {
    expect(new Set(faults.map(({ id }) => id)).size).toBe(faults.length);
    for (const { id } of faults) expect(id).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
  });

  it('covers every program of every host, killed and stopped', () => {
    const ids = faults.map(({ id }) => id);
    for (const program of ['agent', 'guard', 'worker', 'postmaster']) {
      for (const role of ['primary', 'standby']) {
        expect(ids).toContain(`${role}-${program}-killed`);
        expect(ids).toContain(`${role}-${program}-stopped`);
      }
    }
    for (const program of ['haproxy', 'pgbouncer', 'agent']) {
      expect(ids).toContain(`proxy-${program}-killed`);
      expect(ids).toContain(`proxy-${program}-stopped`);
    }
  });

  it('names what there is when asked for what there is not', () => {
    expect(faultNamed('dynamodb-away').strikes).toBe('cluster');
    expect(() => faultNamed('meteor')).toThrow(/no fault meteor; there is primary-agent-killed/);
  });
});

describe('while a service is away', () => {
  it('executions stand still for Step Functions, and go on when they are back', async () => {
    let away = true;
    const invoke = whileTheyAreThere(
      async () => 'done',
      (service) => service === 'states' && away,
    );
    let ended = false;
    const running = invoke(task).then((value) => {
      ended = true;
      return value;
    });
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(ended).toBe(false);
    away = false;
    expect(await running).toBe('done');
  });

  it('tasks fail for Lambda as they do on AWS', async () => {
    const invoke = whileTheyAreThere(
      async () => 'done',
      (service) => service === 'lambda',
    );
    await expect(invoke(task)).rejects.toMatchObject({ error: 'Lambda.ServiceException' });
  });
});
