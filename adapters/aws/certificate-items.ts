/**
 * Certificates of a cluster in DynamoDB: two partitions for requests, each written by one role of hosts, and one for what the control
 * plane answers. IAM sees partition keys alone, so a proxy cannot ask for a database's certificate, and no host can write one.
 */
import type { CertificateRequest, HostCertificate, HostRole } from '../../core/model/tls.ts';
import {
  certificateRequestToItem,
  hostCertificateToItem,
  parseCertificateRequest,
  parseHostCertificate,
} from '../../core/wire/parse-tls.ts';
import { createItemCalls, type DocumentClient } from './item-calls.ts';
import { mapOk } from './operation-items.ts';
import type { Answer, CallOptions } from './store-answer.ts';

export interface CertificateStore {
  /** In place of the host's request before. */
  putRequest(role: HostRole, request: CertificateRequest, o?: CallOptions): Promise<Answer<void>>;
  /** What cannot be read is left out and told to `onMalformed`: one host's nonsense must not keep the others waiting. */
  readRequests(
    role: HostRole,
    onMalformed: (error: unknown) => void,
    o?: CallOptions,
  ): Promise<Answer<readonly CertificateRequest[]>>;
  putCertificate(certificate: HostCertificate, o?: CallOptions): Promise<Answer<void>>;
  readCertificates(o?: CallOptions): Promise<Answer<readonly HostCertificate[]>>;
  /** Null: none has been signed. */
  readCertificate(node: string, o?: CallOptions): Promise<Answer<HostCertificate | null>>;
}

export function createCertificateStore(deps: {
  client: DocumentClient;
  tableName: string;
  cluster: string;
}): CertificateStore {
  const calls = createItemCalls(deps);
  const certificates = `cluster#${deps.cluster}#certificates`;
  const requests = (role: HostRole): string => `cluster#${deps.cluster}#${role}-requests`;
  const put = async (item: Parameters<typeof calls.put>[0], o?: CallOptions): Promise<Answer<void>> => {
    const answer = await calls.put(item, {}, o);
    if (answer.kind === 'refused') throw new Error('a put without a condition was refused');
    return answer;
  };
  return {
    putRequest: (role, request, o) =>
      put({ ...certificateRequestToItem(request), pk: requests(role), sk: request.node }, o),
    async readRequests(role, onMalformed, o = {}) {
      return mapOk(await calls.query(partition(requests(role)), o), (items) =>
        items.flatMap((item) => {
          try {
            const request = parseCertificateRequest(item);
            return request.node === item['sk'] ? [request] : [];
          } catch (error) {
            onMalformed(error);
            return [];
          }
        }),
      );
    },
    putCertificate: (certificate, o) =>
      put({ ...hostCertificateToItem(certificate), pk: certificates, sk: certificate.node }, o),
    async readCertificates(o = {}) {
      return mapOk(await calls.query(partition(certificates), o), (items) => items.map(parseHostCertificate));
    },
    async readCertificate(node, o = {}) {
      const input = {
        KeyConditionExpression: 'pk = :pk AND sk = :sk',
        ExpressionAttributeValues: { ':pk': certificates, ':sk': node },
      };
      return mapOk(await calls.query(input, { ...o, limit: 1 }), ([item]) =>
        item === undefined ? null : parseHostCertificate(item),
      );
    },
  };
}

function partition(pk: string) {
  return { KeyConditionExpression: 'pk = :pk', ExpressionAttributeValues: { ':pk': pk } };
}
