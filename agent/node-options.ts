/**
 * What Node is started with to run an agent. Left alone, V8 gives a program room for new objects until a collection seldom has
 * anything to do: an agent under load was seen with 128 MiB of it, for 25 MiB of objects. A host's memory is PostgreSQL's, and an agent
 * computes little: its young generation stays small, and code that could be compiled once more, for speed, is not. Collections are
 * made by the thread that needs them: four helpers and their memory are more than a heap of 12 MiB is worth.
 */
export const agentNodeOptions: readonly string[] = [
  '--max-semi-space-size=1',
  '--optimize-for-size',
  '--no-opt',
  '--single-threaded',
];
