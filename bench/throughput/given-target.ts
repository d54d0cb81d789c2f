/** Endpoints that somebody has set up, by `--dsn path=postgres://...`: a deployed cluster, or anything else that speaks PostgreSQL. */
import { clientGroups } from '../measure/cluster-groups.ts';
import { libpqEnvironment } from './libpq-environment.ts';
import type { Route, Target } from './target.ts';

/** The path that leads to standbys; all others lead to the primary. */
export const standbysPath = 'replicas';

/** Throws for one that is none, without its password. */
export function readDsns(values: readonly string[]): Route[] {
  const routes = values.map((value): Route => {
    const at = value.indexOf('=');
    const path = value.slice(0, at);
    if (at < 1 || !/^[a-z][a-z0-9-]*$/.test(path)) {
      throw new Error('--dsn: path=postgres://user:password@host:port/database, the path in small letters');
    }
    const dsn = value.slice(at + 1);
    try {
      libpqEnvironment(dsn);
    } catch (error) {
      throw new Error(`--dsn ${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
    return { path, serves: path === standbysPath ? 'standbys' : 'primary', dsn };
  });
  const paths = routes.map(({ path }) => path);
  const twice = paths.find((path, at) => paths.indexOf(path) !== at);
  if (twice !== undefined) throw new Error(`--dsn ${twice}: given twice`);
  if (routes.length > 0 && !routes.some(({ serves }) => serves === 'primary')) {
    throw new Error('--dsn: one that leads to the primary is needed, to make the tables');
  }
  return routes;
}

export function givenTarget(routes: readonly Route[]): Target {
  const writable = routes.filter(({ serves }) => serves === 'primary');
  const admin = writable.find(({ path }) => path === 'direct') ?? writable[0];
  if (admin === undefined) throw new Error('none of the endpoints leads to the primary');
  return {
    routes,
    adminDsn: admin.dsn,
    groups: clientGroups,
    primary: () => Promise.resolve(null),
  };
}

/** A command line that may be kept: what stands between a DSN's user and its host is left out. */
export function withoutPasswords(command: string): string {
  return command.replace(/(postgres(?:ql)?:\/\/[^:@/\s]*):[^@\s]*@/g, '$1:...@');
}
