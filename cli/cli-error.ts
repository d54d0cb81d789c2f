/** Something that the person at the terminal can mend: shown as a message, without a stack, and a non-zero exit. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode = 1) {
    super(message);
    this.name = 'CliError';
    this.exitCode = exitCode;
  }
}

/** After SIGINT and SIGTERM a command ends as a shell would expect. */
export const interruptedCode = { SIGINT: 130, SIGTERM: 143 } as const;
