// Protobuf as we use it: bytes from the network never throw, absent fields read as undefined, undefined ones are not
// written. Spec: "Conventions" (1).
import { create, fromBinary, type Message, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import type { GenMessage } from '@bufbuild/protobuf/codegenv2';

/** What to write into a message: as generated, but any field may be undefined, which leaves it out. */
export type MessageFields<M extends Message> = {
  readonly [Name in Exclude<keyof M, '$typeName' | '$unknown'>]?: FieldValue<M[Name]> | undefined;
};
type FieldValue<T> = T extends Uint8Array
  ? T
  : T extends Message
    ? MessageFields<T>
    : T extends readonly (infer Item)[]
      ? readonly FieldValue<Item>[]
      : T;

/** Undefined if `bytes` are no such message. Byte fields of the result are views of `bytes`. */
export function parseMessage<M extends Message>(schema: GenMessage<M>, bytes: Uint8Array): M | undefined {
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false });
  } catch {
    return undefined;
  }
}

/** Fields in ascending order, lists unpacked: the same bytes as the reference writes. */
export function serializeMessage<M extends Message>(schema: GenMessage<M>, fields: MessageFields<M>): Uint8Array {
  // `create` skips undefined fields; its type only says so under looser compiler options than ours.
  return toBinary(schema, create(schema, fields as MessageInitShape<GenMessage<M>>));
}

/** The value of a field if it was present; reading the field itself gives 0, '' or no bytes instead. */
export function optional<M extends Message, Name extends keyof M>(message: M, name: Name): M[Name] | undefined {
  return Object.hasOwn(message, name) ? message[name] : undefined;
}
