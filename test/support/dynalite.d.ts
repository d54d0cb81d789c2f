// What of dynalite 4.0.0 the tests use; the package has no types of its own.
declare module 'dynalite' {
  import type { Server } from 'node:http';

  export default function dynalite(options?: { path?: string; createTableMs?: number }): Server;
}
