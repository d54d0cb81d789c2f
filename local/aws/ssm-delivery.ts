/**
 * The time that Run Command takes from its answer until the host has the command. It is not kept: after a restart of the runtime a
 * command that was under way is there.
 */
export type CommandsUnderWay = {
  has(commandId: string): boolean;
  /** Calls `arrived` when the command is there; at once, before it returns, where `delayMs` is 0. */
  deliver(commandId: string, delayMs: number, arrived: () => void): void;
  /** None arrives any more. */
  close(): void;
};

export function createCommandsUnderWay(): CommandsUnderWay {
  const timers = new Map<string, NodeJS.Timeout>();
  return {
    has: (commandId) => timers.has(commandId),
    deliver(commandId, delayMs, arrived) {
      if (delayMs <= 0) return arrived();
      const timer = setTimeout(() => {
        timers.delete(commandId);
        arrived();
      }, delayMs);
      timers.set(commandId, timer);
    },
    close() {
      for (const timer of timers.values()) clearTimeout(timer);
    },
  };
}
