// SendTaskSuccess, SendTaskFailure and SendTaskHeartbeat: an answer is acknowledged only once it is written down, and a
// token is refused with the error that tells a worker what to do: drop its work (TaskTimedOut) or find its bug.

import type { TaskAnswer } from '../../adapters/asl/answer-task.ts';
import type { AslEngine } from '../../adapters/asl/engine.ts';
import { fitsPayload, type Json, type JsonObject } from '../../adapters/asl/json.ts';
import { AwsError } from './aws-error.ts';
import { optionalText, requiredText } from './step-functions-requests.ts';

const LONGEST_TOKEN = 2048;
const LONGEST_TEXT = 262_144;

function answerIn(body: JsonObject, kind: 'success' | 'failure' | 'heartbeat'): TaskAnswer {
  switch (kind) {
    case 'heartbeat':
      return { kind: 'heartbeat' };
    case 'failure': {
      const [error, cause] = [optionalText(body, 'error', 256), optionalText(body, 'cause', 32_768)];
      return { kind: 'failed', failure: { error, cause, heartbeat: false } };
    }
    case 'success':
      return { kind: 'succeeded', result: outputIn(optionalText(body, 'output', LONGEST_TEXT) ?? '') };
  }
}

function outputIn(text: string): Json {
  try {
    if (fitsPayload(text)) return JSON.parse(text) as Json;
  } catch (error) {
    throw new AwsError('InvalidOutput', `Invalid Output: '${(error as Error).message}'`);
  }
  throw new AwsError('InvalidOutput', "Invalid Output: 'The output is too large'");
}

export function answerWith(
  engine: AslEngine,
  body: JsonObject,
  kind: 'success' | 'failure' | 'heartbeat',
): JsonObject {
  const token = requiredText(body, 'taskToken', LONGEST_TOKEN);
  const verdict = engine.answer(token, answerIn(body, kind));
  switch (verdict) {
    case 'accepted':
      return {};
    case 'timed-out':
      throw new AwsError('TaskTimedOut', "Task Timed Out: 'Provided task does not exist anymore'");
    case 'unknown':
      throw new AwsError('TaskDoesNotExist', "Task Does Not Exist: 'Provided task does not exist'");
    case 'invalid':
      throw new AwsError('InvalidToken', "Invalid Token: 'Invalid token'");
  }
}
