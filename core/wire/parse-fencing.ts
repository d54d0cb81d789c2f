/**
 * How hosts are fenced through EC2, as the cluster file and the record say it, and the record's notes of what was done. An id of a
 * security group is checked by its form: it goes to EC2 as it is.
 */
import type { FencedHost, FencingChoice } from '../model/fencing.ts';
import { InvalidInput, pathOf, type Reader, readKnownFields, readNonEmpty, readOneOf } from './fields.ts';
import { attributeName, type Codec, id, itemShape, listOf, nonEmpty, oneOf, positive } from './item-shape.ts';

export const fencingModes: readonly FencingChoice['mode'][] = ['stop', 'isolate'];
const groupId = /^sg-[0-9a-f]{8,17}$/;

/** `group` is what the key is called: camel case in a file, snake case in an item. */
function fencingReader(group: string): Reader<FencingChoice> {
  return (value, field) => {
    const at = readKnownFields(value, field, ['mode', group]);
    const mode = readOneOf(at['mode'], pathOf(field, 'mode'), fencingModes);
    if (mode === 'isolate')
      return { mode, securityGroup: readSecurityGroup(at[group], pathOf(field, group)) };
    if (at[group] !== undefined)
      throw new InvalidInput(pathOf(field, group), at[group], 'nothing, because mode is "stop"');
    return { mode };
  };
}

const readSecurityGroup: Reader<string> = (value, field) => {
  const text = readNonEmpty(value, field);
  if (!groupId.test(text))
    throw new InvalidInput(field, value, 'the id of a security group, such as sg-0123abcd');
  return text;
};

/** As in the cluster file. */
export const readFencing = fencingReader('securityGroup');

const groupAttribute = attributeName('securityGroup');

/** As in the record. */
export const fencingChoice: Codec<FencingChoice> = {
  read: fencingReader(groupAttribute),
  write: (choice) =>
    choice.mode === 'stop' ? { mode: 'stop' } : { mode: 'isolate', [groupAttribute]: choice.securityGroup },
};

export const fencedHostShape = itemShape<FencedHost>({
  node: id,
  instanceId: nonEmpty,
  how: oneOf(['stopped', 'isolated']),
  // As EC2 named them: what it says is not ours to refuse.
  formerGroups: listOf(nonEmpty),
  epoch: positive,
  operation: nonEmpty,
  time: nonEmpty,
});
