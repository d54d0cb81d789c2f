// What of dynalite 4.0.0 is used here; the package has no types of its own.
declare module 'dynalite' {
  import type { Server } from 'node:http';

  export type DynaliteOptions = {
    path?: string;
    createTableMs?: number;
    deleteTableMs?: number;
    updateTableMs?: number;
  };

  export default function dynalite(options?: DynaliteOptions): Server;
}
