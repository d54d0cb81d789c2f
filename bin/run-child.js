/**
 * Runs one child process for the scripts in this folder: with the terminal, or quietly with its output kept. What is promised: a
 * signal that ends the script reaches the child first, and the script ends after the child, with the child's exit code.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/** @type {NodeJS.Signals[]} */
const passedOn = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];

// The terminal sends these to the whole foreground group: passing them on would count as a second Ctrl-C.
const sentByTerminal = new Set(['SIGINT', 'SIGQUIT']);

// Of a quiet child's output only the end is kept: npm and apt say what went wrong last.
const keptCharacters = 200_000;

/**
 * @typedef {object} Outcome
 * @property {number} code exit code as a shell gives it: 128 + n after signal n, 127 where the program cannot be started
 * @property {string} output what a quiet child wrote to both streams, in order; empty for one with the terminal
 */

/**
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, quiet?: boolean }} [options] quiet: no terminal, keep the output
 * @returns {Promise<Outcome>}
 */
export function runChild(program, args, options = {}) {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: options.quiet ? ['ignore', 'pipe', 'pipe'] : 'inherit',
  });
  let output = '';
  const keep = (/** @type {Buffer} */ chunk) => {
    output = (output + chunk.toString()).slice(-keptCharacters);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);

  const passOn = (/** @type {NodeJS.Signals} */ signal) => {
    if (!(process.stdin.isTTY && sentByTerminal.has(signal))) child.kill(signal);
  };
  for (const signal of passedOn) process.on(signal, passOn);

  return new Promise((resolve) => {
    const finish = (/** @type {number} */ code) => {
      for (const signal of passedOn) process.off(signal, passOn);
      resolve({ code, output });
    };
    child.on('error', (error) => {
      output += `${error.message}\n`;
      finish(127);
    });
    child.on('close', (code, signal) => finish(signal ? 128 + constants.signals[signal] : (code ?? 1)));
  });
}
