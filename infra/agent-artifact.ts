/** The agent's artifact, as a file on the machine that deploys: where it is and what is in it, so that hosts can verify what they fetched. */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { InvalidInput } from '../core/wire/fields.ts';

export interface AgentArtifact {
  /** Absolute. */
  readonly path: string;
  /** Of the whole file, in hexadecimal. */
  readonly sha256: string;
}

const takes = "the agent's artifact, one file made for the hosts' architecture";

/** Reads the file. Throws InvalidInput naming `field` when it is none. */
export function agentArtifact(path: unknown, field = 'agent'): AgentArtifact {
  if (typeof path !== 'string' || path === '') throw new InvalidInput(field, path, takes);
  const file = resolve(path);
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true)
    throw new InvalidInput(field, path, takes);
  return { path: file, sha256: createHash('sha256').update(readFileSync(file)).digest('hex') };
}
