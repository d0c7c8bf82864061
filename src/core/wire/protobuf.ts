// Protobuf as we use it: bytes from the network never throw, absent fields read as undefined, undefined ones are not
// written. Spec: "Conventions" (1).
import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type Message,
  type MessageInitShape,
  ScalarType,
  toBinary,
} from '@bufbuild/protobuf';
import type { GenMessage } from '@bufbuild/protobuf/codegenv2';
import { ByteReader } from '../base/bytes.ts';

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
  READER.reset(bytes, 0, bytes.length);
  if (!isWellTyped(schema, READER, bytes.length)) return undefined;
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

// The parser takes it on trust that the value of a field we know is of the kind that the field has, and reads whatever is
// there as that. Here it is checked before.

const READER = new ByteReader();
const MAX_VARINT_BYTES = 10;
const MAX_TAG_BYTES = 5;
const MAX_DEPTH = 8;
/** Kinds of values on the wire. Groups are not among them: nobody uses them. */
const WireType = { VarInt: 0, Bits64: 1, Bytes: 2, Bits32: 5 } as const;

interface FieldKind {
  readonly wireType: number;
  /** A list of numbers may also come as one field of bytes. */
  readonly isPackable: boolean;
  readonly message: DescMessage | undefined;
}

/** Whether the fields in [reader.pos, end) that `schema` has are of its kinds, down to the last message in a message. */
function isWellTyped(schema: DescMessage, reader: ByteReader, end: number, depth = 0): boolean {
  const kinds = kindsOf(schema);
  while (reader.pos < end) {
    const tag = reader.varInt(MAX_TAG_BYTES);
    const wireType = tag % 8;
    const kind = kinds.get(Math.floor(tag / 8));
    const isPacked = kind?.isPackable === true && wireType === WireType.Bytes;
    if (kind !== undefined && kind.wireType !== wireType && !isPacked) return false;
    if (wireType === WireType.VarInt) reader.varInt(MAX_VARINT_BYTES);
    else if (wireType === WireType.Bits64) reader.take(8);
    else if (wireType === WireType.Bits32) reader.take(4);
    else if (wireType !== WireType.Bytes) return false;
    else {
      const length = reader.varInt(MAX_TAG_BYTES);
      const stop = reader.pos + length;
      if (stop > end) return false;
      if (kind?.message === undefined) reader.take(length);
      else if (depth >= MAX_DEPTH || !isWellTyped(kind.message, reader, stop, depth + 1)) return false;
    }
    if (reader.truncated) return false;
  }
  return reader.pos === end;
}

const KINDS = new WeakMap<DescMessage, ReadonlyMap<number, FieldKind>>();

function kindsOf(schema: DescMessage): ReadonlyMap<number, FieldKind> {
  let kinds = KINDS.get(schema);
  if (kinds === undefined) {
    kinds = new Map(schema.fields.map((field) => [field.number, kindOf(field)]));
    KINDS.set(schema, kinds);
  }
  return kinds;
}

function kindOf(field: DescField): FieldKind {
  const wireType = field.scalar === undefined ? WireType.Bytes : wireTypeOf(field.scalar);
  const isPackable = field.fieldKind === 'list' && wireType !== WireType.Bytes;
  return { wireType, isPackable, message: field.message };
}

function wireTypeOf(scalar: ScalarType): number {
  switch (scalar) {
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
    case ScalarType.DOUBLE:
      return WireType.Bits64;
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
    case ScalarType.FLOAT:
      return WireType.Bits32;
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return WireType.Bytes;
    default:
      return WireType.VarInt;
  }
}
