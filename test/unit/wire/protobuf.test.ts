// Messages whose fields are of other kinds than they should be: the parser would take them at face value.

import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { expect } from 'chai';
import fc from 'fast-check';
import { ConnectRequestSchema } from '../../../src/core/wire/generated/messages_pb.ts';
import { parseMessage } from '../../../src/core/wire/protobuf.ts';
import { SEED } from '../../support/seed.ts';

const KINDS = [WireType.Varint, WireType.Bit64, WireType.LengthDelimited, WireType.Bit32] as const;
type Kind = (typeof KINDS)[number];

/** The fields of ConnectRequest, with the kind of their values. */
const FIELDS: Readonly<Record<number, Kind>> = {
  1: WireType.Bit32,
  2: WireType.Bit64,
  3: WireType.Bit64,
  4: WireType.LengthDelimited,
  5: WireType.Bit64,
  6: WireType.Varint,
  7: WireType.LengthDelimited,
  9: WireType.LengthDelimited,
  10: WireType.LengthDelimited,
};

function value(writer: BinaryWriter, kind: Kind, salt: number): BinaryWriter {
  if (kind === WireType.Varint) return writer.uint32(salt);
  if (kind === WireType.Bit64) return writer.fixed64(BigInt(salt));
  if (kind === WireType.Bit32) return writer.fixed32(salt);
  // Empty: a message without fields, or a text without letters.
  return writer.bytes(new Uint8Array(0));
}

function fieldOf(number: number, kind: Kind, salt = 7): Uint8Array {
  return value(new BinaryWriter().tag(number, kind), kind, salt).finish();
}

describe('a message from the network', () => {
  for (const [number, right] of Object.entries(FIELDS)) {
    it(`is understood if its field ${number} is of its own kind, and malformed with any other`, () => {
      const understood = KINDS.filter((kind) => parseMessage(ConnectRequestSchema, fieldOf(Number(number), kind)));
      expect(understood).to.deep.equal([right]);
    });
  }

  it('may have fields that we do not know, of any kind but groups', () => {
    for (const kind of KINDS) expect(parseMessage(ConnectRequestSchema, fieldOf(99, kind))).to.not.equal(undefined);
    const group = new BinaryWriter().tag(99, WireType.StartGroup).tag(99, WireType.EndGroup).finish();
    expect(parseMessage(ConnectRequestSchema, group)).to.equal(undefined);
  });

  it('is malformed if a message inside of it is', () => {
    const inner = fieldOf(4, WireType.Varint);
    const bytes = new BinaryWriter().tag(4, WireType.LengthDelimited).bytes(inner).finish();
    expect(parseMessage(ConnectRequestSchema, bytes)).to.equal(undefined);
    const longer = new BinaryWriter()
      .tag(4, WireType.LengthDelimited)
      .bytes(Uint8Array.of(0x22, 5, 1))
      .finish();
    expect(parseMessage(ConnectRequestSchema, Uint8Array.of(...longer, 1, 1, 1, 1))).to.equal(undefined);
  });

  it(`has fields of the right types or is malformed, whatever it is (SEED=${SEED})`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const message = parseMessage(ConnectRequestSchema, bytes);
        if (message === undefined) return;
        expect(message.clientConnectionId).to.be.a('number');
        expect(message.challenge).to.be.a('bigint');
        expect(message.identityString).to.be.a('string');
        if (message.cert !== undefined) expect(message.cert.cert).to.be.instanceOf(Uint8Array);
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
});
