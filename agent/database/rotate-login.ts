/**
 * What a rotation asks of a database host: that its PostgreSQL takes the next login, which the primary makes and standbys get by replay,
 * and that whatever connects uses the one in use. Upholds that the password of the role in use is never changed, and that nothing is
 * written but under a lease that is held, outside of any operation.
 */
import { isLogin, type SecretKind } from '../../core/model/cluster-secrets.ts';
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
  const found = server.last()?.postgres.kind;
  if (found !== 'primary' && found !== 'standby') return false;
  await server.node.writePasswords();
  await server.node.admitMembers();
  const takes = await server.node.takesLogin(kind, login);
  if (takes !== false || found === 'standby') return takes === true;
  if (!mayOpen(context) || keeper.view().record?.operation != null) return false;
  const failure = await server.node.setLogin(kind, login);
  if (failure === null) return (await server.node.takesLogin(kind, login)) === true;
  log('warn', 'the next login could not be made', { secret: kind, error_kind: failure.kind });
  return false;
}

/** A standby follows by the login in use, and streams by it. */
export function isLoginInUse({ server, config }: HostContext, kind: SecretKind): boolean {
  const found = server.last()?.postgres;
  if (kind !== 'replication' || found?.kind !== 'standby') return true;
  return server.followsAs() === config.secrets.replication.name && found.streaming;
}
