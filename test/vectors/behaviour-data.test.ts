// The crafted data packets of the recordings, sent to a connection of ours: it delivers, acknowledges and closes as GNS
// did. Recordings: README.md.
import { expect } from 'chai';
import { ByteReader } from '../../src/core/base/bytes.ts';
import type { Member } from '../../src/core/endpoint/member.ts';
import { FrameDecoder } from '../../src/core/wire/frames.ts';
import { Bench, CraftedPeer, REPLY_NOW_BLOB } from '../support/crafted-peer.ts';
import { hex } from '../support/hex.ts';
import { FrameLog } from './frame-log.ts';
import { type BehaviourCase, loadBehaviour } from './load.ts';

const BETWEEN_PACKETS_US = 2_000;
/** Time for a gap to be reported. */
const NACK_WAIT_US = 20_000;
const NOTHING = new Uint8Array(0);

const cases = loadBehaviour();

describe(`crafted data packets: ${cases.length} cases that GNS decided`, () => {
  for (const recorded of cases) {
    it(recorded.name, () => {
      expect(replay(recorded)).to.deep.equal(recorded.observed);
    });
  }
});

/** What our side made of the packets, in the terms of the recordings. */
function replay({ packets }: BehaviourCase): BehaviourCase['observed'] {
  const bench = new Bench();
  const listener = bench.listen();
  const peer = new CraftedPeer(bench);
  if (peer.connect()?.kind !== 'connectOk') throw new Error('the handshake failed');
  const [member] = listener.members;
  const { connection } = member!;
  const delivered: Delivered[] = [];
  for (const { number, plaintext, header = {} } of packets) {
    peer.sendData(hex(plaintext), {
      number,
      ...(header.first === undefined ? {} : { first: header.first }),
      ...(header.to === undefined ? {} : { to: header.to }),
      ...(header.blob === undefined ? {} : { blob: hex(header.blob) }),
      ...(header.gap === undefined ? {} : { gap: header.gap }),
      ...(header.chunk === undefined ? {} : { chunk: hex(header.chunk) }),
      isCorrupt: header.corrupt === 1,
    });
    // The recorded application read all the time, and closed a connection as soon as it had ended.
    if (connection.state === 'Connected') delivered.push(...takeMessages(member!, bench));
    bench.advance(BETWEEN_PACKETS_US);
  }
  const closeReason = connection.state === 'ProblemDetectedLocally' ? connection.info.endReason : null;
  if (closeReason !== null) {
    expect(sentCloseReason(peer)).to.equal(closeReason);
    return { closeReason, delivered };
  }
  // The next number of the crafted peer was above all before it.
  peer.sendData(NOTHING, { blob: REPLY_NOW_BLOB });
  bench.advance(NACK_WAIT_US);
  const ack = lastAck(peer);
  const acked = Object.fromEntries(packets.map(({ number }) => [number, ack(number)]));
  return { closeReason, delivered, acked };
}

type Delivered = BehaviourCase['observed']['delivered'][number];

function takeMessages(member: Member, bench: Bench): readonly Delivered[] {
  return bench.act(member, (connection, nowUs) => {
    const messages: Delivered[] = [];
    for (let message = connection.receive(nowUs); message; message = connection.receive(nowUs)) {
      const { lane, messageNumber: msg, data, reliable } = message;
      messages.push({ lane, msg, size: data.length, reliable });
    }
    return messages;
  });
}

function sentCloseReason(peer: CraftedPeer): number | undefined {
  const closed = peer.takeControl().find((packet) => packet.kind === 'connectionClosed');
  return closed?.reason;
}

/** What the last ack that the peer got says of a packet: true, false, or null above its latest. */
function lastAck(peer: CraftedPeer): (number: number) => boolean | null {
  const log = new FrameLog();
  log.nextPacketNumber = peer.nextNumber;
  const decoder = new FrameDecoder();
  const reader = new ByteReader();
  let answer: (number: number) => boolean | null = () => null;
  for (const { number, plaintext } of peer.takeData()) {
    log.begin();
    reader.reset(plaintext, 0, plaintext.length);
    decoder.decode(reader, number, log);
    const ack = log.frames.find((frame) => frame.kind === 'ack')!;
    const missing = new Set<number>();
    let top = ack.latest;
    for (const [acks, nacks] of ack.blocks) {
      top -= acks;
      for (let i = 0; i < nacks; i++) missing.add(top--);
    }
    answer = (asked) => (asked > ack.latest ? null : !missing.has(asked));
  }
  return answer;
}
