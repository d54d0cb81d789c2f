/** A DSN as the environment that libpq's programs read, so that no password stands in a command line. Pure. */

const parameters: Readonly<Record<string, string>> = {
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  connect_timeout: 'PGCONNECT_TIMEOUT',
  application_name: 'PGAPPNAME',
  target_session_attrs: 'PGTARGETSESSIONATTRS',
  options: 'PGOPTIONS',
};

/** Throws for what is no `postgres://` URL, and names a parameter that it does not know; never the password. */
export function libpqEnvironment(dsn: string): Record<string, string> {
  const url = URL.canParse(dsn) ? new URL(dsn) : null;
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol) || url.hostname === '') {
    throw new Error('not a DSN: postgres://user:password@host:port/database');
  }
  const database = decodeURIComponent(url.pathname.slice(1));
  const environment: Record<string, string> = {
    // An IPv6 address stands in brackets in a URL.
    PGHOST: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    PGPORT: url.port === '' ? '5432' : url.port,
    PGDATABASE: database === '' ? 'postgres' : database,
  };
  if (url.username !== '') environment['PGUSER'] = decodeURIComponent(url.username);
  if (url.password !== '') environment['PGPASSWORD'] = decodeURIComponent(url.password);
  for (const [name, value] of url.searchParams) {
    const variable = parameters[name];
    if (variable === undefined) {
      throw new Error(`the DSN's parameter ${name} is not known: ${Object.keys(parameters).join(', ')}`);
    }
    environment[variable] = value;
  }
  return environment;
}

/** The same server, user and parameters, another database. */
export function withDatabase(dsn: string, database: string): string {
  const url = new URL(dsn);
  url.pathname = `/${encodeURIComponent(database)}`;
  return url.href;
}
