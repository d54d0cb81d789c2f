/**
 * What a rotation asks of a database host: that its PostgreSQL takes the next login, which the primary makes and standbys get by replay,
 * and that whatever connects uses the one in use. Upholds that the password of the role in use is never changed, and that nothing is
 * written but under a lease that is held, outside of any operation.
 */
import { isLogin, type LoginKind, type SecretKind, shareRoles } from '../../core/model/cluster-secrets.ts';
import type { SecretBook } from '../secret-book.ts';
import type { HostContext } from './host-context.ts';
import { mayOpen } from './primary-work.ts';

/** True once the server here was seen to take that version. */
export async function prepareSecret(
  context: HostContext,
  book: SecretBook,
  kind: SecretKind,
  version: string,
): Promise<boolean> {
  if (!isLogin(kind)) return true;
  const { server, log, keeper } = context;
  const login = book.login(kind, version);
  if (login.name === book.secrets[kind].name) {
    log('error', 'the next version is of the role in use: its password is not changed', {
      ...{ secret: kind, version, role: login.name },
    });
    return false;
  }
  const other = book.secrets[kind === 'superuser' ? 'replication' : 'superuser'].name;
  if (shareRoles(login.name, other)) {
    log('error', 'two secrets are logins of one role: neither is rotated', {
      ...{ secret: kind, version, role: login.name, other },
    });
    return false;
  }
  const found = server.last()?.postgres.kind;
  if (found !== 'primary' && found !== 'standby') return false;
  await server.node.writePasswords();
  const barred = await server.node.admitMembers();
  if (barred !== null) {
    log('error', 'access rules do not let the next login in for sure', { secret: kind, detail: barred });
    return false;
  }
  const takes = await server.node.takesLogin(kind, login);
  if (takes !== false || found === 'standby') return takes === true;
  if (!mayOpen(context) || keeper.view().record?.operation != null) return false;
  const failure = await server.node.setLogin(kind, login);
  if (failure === null) return (await server.node.takesLogin(kind, login)) === true;
  log('error', 'the next login could not be made', {
    ...{ secret: kind, role: login.name, error_kind: failure.kind },
    ...(failure.kind === 'query-failed' ? { sqlstate: failure.sqlstate } : {}),
  });
  return false;
}

/**
 * Whether this host may change over to a login: not while its own server refuses it, as after the table was restored from before a
 * rotation. A standby that receives nothing has nothing to lose: its own server may be too old to know the login that the primary takes.
 */
export async function mayUseLogin(
  { server, log }: HostContext,
  book: SecretBook,
  kind: LoginKind,
  version: string | null,
): Promise<boolean> {
  const found = server.last()?.postgres;
  if (found === undefined) return false;
  if (found.kind !== 'primary' && found.kind !== 'standby') return true;
  if (kind === 'replication' && found.kind === 'standby' && !found.streaming) return true;
  const login = book.login(kind, version);
  const takes = await server.node.takesLogin(kind, login);
  if (takes === true) return true;
  log('error', 'PostgreSQL here does not take the login that is to be used: the former one stays in use', {
    ...{ secret: kind, version, role: login.name, asked: takes !== null },
  });
  return false;
}

/** A standby follows by the login in use, and streams by it. */
export function isLoginInUse({ server, config }: HostContext, kind: SecretKind): boolean {
  const found = server.last()?.postgres;
  if (kind !== 'replication' || found?.kind !== 'standby') return true;
  return server.followsAs() === config.secrets.replication.name && found.streaming;
}
