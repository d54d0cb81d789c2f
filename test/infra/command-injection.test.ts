/**
 * Command injection through Run Command, tried: hostile values are put to the parameters' patterns, and then, as if there were no
 * patterns, into the documents' own command lines, which a real shell runs with a `leasehold-agent` that writes down its arguments.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseDocument, renderSteps, type SsmDocument } from '../../local/aws/ssm-document.ts';
import { type Roles, synthesiseRoles } from './iam-roles.ts';

let roles: Roles;
let folder: string;
let arguments_: string;

beforeAll(async () => {
  roles = await synthesiseRoles();
  folder = mkdtempSync(join(tmpdir(), 'leasehold-injection-'));
  arguments_ = join(folder, 'arguments');
  const agent = join(folder, 'bin', 'leasehold-agent');
  mkdirSync(join(folder, 'bin'));
  writeFileSync(agent, `#!/bin/bash\nprintf '%s\\0' "$@" >${arguments_}\n`);
  chmodSync(agent, 0o755);
});
beforeEach(() => rmSync(arguments_, { force: true }));
afterAll(() => {
  roles.remove();
  rmSync(folder, { recursive: true, force: true });
});

const good: Readonly<Record<string, string>> = {
  Operation: 'main-3f2a9c1e-e7-a1',
  Action: 'acquire-and-promote@node-2#1',
  Epoch: '7',
  Key: 'leasehold/agent-0.1.0-linux-arm64.tar.gz',
  Sha256: '0'.repeat(64),
};

/** Each would do something in a shell that reads it. */
const hostile = (pwned: string): readonly string[] => [
  `'; touch ${pwned}; '`,
  `' && touch ${pwned} && '`,
  `'$(touch ${pwned})'`,
  `$(touch ${pwned})`,
  `\`touch ${pwned}\``,
  `7; touch ${pwned}`,
  `7 | touch ${pwned}`,
  `7 & touch ${pwned}`,
  '7\n',
  `7\ntouch ${pwned}`,
  `7\r\ntouch ${pwned}`,
  `7'\ntouch ${pwned}\n'`,
  `"; touch ${pwned}; "`,
  `> ${pwned}`,
  '${IFS}7',
  '{{ Epoch }}',
  '{{ssm:payroll}}',
  '{{ global:DATE }}',
  '--epoch=1',
  '-h',
  '7 --epoch 1',
  '../../etc/passwd',
  '*',
  '~',
  '',
  '\0',
  '7\u2028touch',
];

const documents = (): readonly SsmDocument[] => roles.stack.documents.map(parseDocument);
const valuesFor = (document: SsmDocument) =>
  Object.fromEntries([...document.parameters.keys()].map((name) => [name, good[name] as string]));

/** Runs the steps as the SSM agent does, each a script file for a shell; the arguments that the agent got. */
function runSteps(document: SsmDocument, values: Readonly<Record<string, string>>): string[] | null {
  for (const { script } of renderSteps(document, values)) {
    const file = join(folder, 'script.sh');
    writeFileSync(file, script);
    spawnSync('/bin/sh', [file], { cwd: folder, env: { PATH: `${join(folder, 'bin')}:/usr/bin:/bin` } });
  }
  try {
    return readFileSync(arguments_, 'utf8').split('\0').slice(0, -1);
  } catch {
    return null;
  }
}

describe('a parameter of a document', () => {
  test('that the workflow gives reaches the agent as it is', () => {
    for (const document of documents()) {
      const values = valuesFor(document);
      const [verb, ...words] = runSteps(document, values) ?? [];
      expect(verb).toMatch(/^[a-z-]+$/);
      expect(words).toEqual(
        Object.entries(values).flatMap(([name, value]) => [`--${name.toLowerCase()}`, value]),
      );
    }
  });

  test.each(hostile('/nowhere').map((value) => [value]))('is refused as %j', (value) => {
    for (const document of documents()) {
      for (const name of document.parameters.keys())
        expect(() => renderSteps(document, { ...valuesFor(document), [name]: value }), name).toThrow(
          expect.objectContaining({ code: 'InvalidParameters' }),
        );
    }
  });

  test('is refused with a newline behind it', () => {
    for (const document of documents()) {
      for (const [name, value] of Object.entries(valuesFor(document)))
        expect(() => renderSteps(document, { ...valuesFor(document), [name]: `${value}\n` }), name).toThrow(
          expect.objectContaining({ code: 'InvalidParameters' }),
        );
    }
  });
});

describe('without any pattern', () => {
  /** The same document, taking everything. */
  const open = (document: SsmDocument): SsmDocument => ({
    ...document,
    parameters: new Map(
      [...document.parameters].map(([name, one]) => [name, { ...one, allowedPattern: undefined }]),
    ),
  });

  test('what has no quote still arrives as one argument and runs nothing', () => {
    const pwned = join(folder, 'pwned');
    for (const document of documents().map(open)) {
      for (const name of document.parameters.keys()) {
        for (const value of hostile(pwned).filter((one) => !one.includes("'") && !one.includes('\0'))) {
          const words = runSteps(document, { ...valuesFor(document), [name]: value });
          expect(
            words?.filter((word) => word === value),
            JSON.stringify(value),
          ).toHaveLength(1);
          expect(words).toHaveLength(1 + 2 * document.parameters.size);
          expect(readdirSync(folder)).not.toContain('pwned');
        }
      }
    }
  });

  test('a quote would break out: the patterns are what keeps it in', () => {
    const pwned = join(folder, 'pwned');
    const fence = documents()
      .map(open)
      .find(({ parameters }) => parameters.has('Epoch')) as SsmDocument;
    runSteps(fence, { Epoch: `7'; touch ${pwned}; '` });
    // `exec` replaces the shell, so that what follows it on the line never runs; what comes before it does.
    expect(readdirSync(folder)).not.toContain('pwned');
    runSteps(fence, { Epoch: `7'$(touch ${pwned})'` });
    expect(readdirSync(folder)).toContain('pwned');
    rmSync(pwned);
  });
});

test('no document names a parameter outside of quotes, nor hands one to another interpreter', () => {
  for (const { content } of documents()) {
    const script = (content['mainSteps'] as { inputs: { runCommand: string[] } }[])
      .flatMap(({ inputs }) => inputs.runCommand)
      .join('\n');
    expect(script.replaceAll(/'\{\{ [A-Za-z0-9]+ \}\}'/g, '')).not.toContain('{{');
    expect(script).not.toMatch(/\b(eval|bash|sh|source)\b|[`$]\(/);
    // And the shell agrees that it is a script.
    execFileSync('/bin/sh', ['-n'], { input: script });
  }
});
