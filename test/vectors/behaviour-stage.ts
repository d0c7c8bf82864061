// The stage for crafted clients: a listen socket of ours with an obliging application, and what it answered, told in the
// words of the recordings. Recordings: README.md.
import { Identity } from '../../src/core/base/identity.ts';
import { makeUnsignedCertificate } from '../../src/core/certs/certificate.ts';
import { TrustStore } from '../../src/core/certs/trust-store.ts';
import type { ConfigOptions } from '../../src/core/config/values.ts';
import type { Connection } from '../../src/core/connection/connection.ts';
import type { Listener } from '../../src/core/endpoint/listener.ts';
import type { ConnectOk, ConnectRequest, ControlPacket } from '../../src/core/wire/control-packets.ts';
import { nodeCrypto } from '../../src/node/crypto.ts';
import { Bench, CraftedPeer, type PeerOptions, REPLY_NOW_BLOB } from '../support/crafted-peer.ts';
import { loadHandshake } from './handshake/load.ts';

/** The authority that servers of some setups trust. */
export const caKey = nodeCrypto.signingKey(loadHandshake('ca-signed').ca!.seed);
const FIRST_PORT = 4_000;

/** A server of ours, and the clients that one recorded case and its continuations speak of. */
export class Stage {
  readonly bench: Bench;
  readonly listener: Listener;
  /** The client that spoke last, its request and the answer to it. */
  peer: CraftedPeer;
  request: ConnectRequest | undefined;
  answer: ControlPacket | undefined;
  /** The answer to the same request, sent again. */
  again: ControlPacket | undefined;
  #port = FIRST_PORT;

  constructor(setup: string) {
    this.bench = benchOf(setup);
    this.listener = this.bench.listen();
    this.peer = this.newPeer();
    // The recorded application accepted everybody, and closed what its peer had closed.
    this.bench.onEvent = (event) => {
      this.bench.acceptIfIncoming(event);
      if (event.kind !== 'stateChanged' || event.change.to !== 'ClosedByPeer') return;
      event.member.connection.close(0, '', false, this.bench.nowUs);
      this.bench.endpoint.touch(event.member);
    };
  }

  newPeer(options: PeerOptions = {}): CraftedPeer {
    this.peer = new CraftedPeer(this.bench, { address: { address: '127.0.0.1', port: this.#port++ }, ...options });
    return this.peer;
  }

  /** The handshake of a new client; its outcome in the words of the recordings. */
  connect(options: PeerOptions = {}, fields: Partial<ConnectRequest> = {}, ageUs = 0): string {
    const peer = this.newPeer(options);
    const challenge = peer.askChallenge();
    this.bench.advance(ageUs);
    return this.ask(peer.connectRequest(challenge, fields));
  }

  ask(request: ConnectRequest): string {
    this.request = request;
    this.answer = this.peer.request(request);
    if (this.answer === undefined) return 'no reply';
    if (this.answer.kind === 'connectionClosed') return `ConnectionClosed ${this.answer.reason}`;
    return this.answer.kind === 'connectOk' ? 'connected' : this.answer.kind;
  }

  get ok(): ConnectOk {
    if (this.answer?.kind !== 'connectOk') throw new Error('the server did not accept');
    return this.answer;
  }

  get connection(): Connection {
    const member = [...this.listener.members].find((each) => each.connection.id === this.ok.serverConnectionId);
    return member!.connection;
  }

  /** Sends each datagram, and tells the kinds of all answers. */
  replies(...datagrams: readonly (Uint8Array | ControlPacket)[]): readonly string[] {
    return this.repliesWithFields(...datagrams).map(([kind]) => kind);
  }

  repliesWithFields(...datagrams: readonly (Uint8Array | ControlPacket)[]): readonly [string, object][] {
    this.peer.take();
    for (const datagram of datagrams) {
      if (datagram instanceof Uint8Array) this.peer.sendBytes(datagram);
      else this.peer.send(datagram);
    }
    return this.peer.take().map(({ bytes }) => describeReply(bytes));
  }

  /** Whether a data packet with a message arrives at the application. */
  delivers(plaintext: Uint8Array, number: number): boolean {
    this.peer.sendData(plaintext, { number });
    return this.connection.receive(this.bench.nowUs) !== undefined;
  }

  firstServerPacketNumber(): number | undefined {
    this.peer.take();
    this.peer.sendData(new Uint8Array(0), { blob: REPLY_NOW_BLOB });
    return this.peer.takeData()[0]?.number;
  }
}

/** The server of a recorded setup. */
function benchOf(setup: string): Bench {
  if (setup.startsWith('Unencrypted=')) return new Bench({ config: { unencrypted: Number(setup.slice(-1)) } });
  if (setup === 'default options') return new Bench();
  const allow = setup.endsWith('with warning') ? 1 : 0;
  const config: ConfigOptions = { ipAllowWithoutAuth: allow, ipLocalHostAllowWithoutAuth: allow };
  const identity = Identity.string('server');
  const trust = new TrustStore(nodeCrypto);
  trust.addRootKey(caKey.publicKey);
  return new Bench({ identity, trust, config, certificate: makeUnsignedCertificate(nodeCrypto, identity, 0) });
}

const NO_CONNECTION = 0x25;
const REPLY_KINDS: Readonly<Record<number, string>> = {
  33: 'ChallengeReply',
  35: 'ConnectOK',
  36: 'ConnectionClosed',
  37: 'NoConnection',
};

/** The kind, and the ids if it is a NoConnection; also of one without ids, which is too short for every decoder. */
export function describeReply(bytes: Uint8Array): [string, object] {
  const kind = REPLY_KINDS[bytes[0]!] ?? 'data';
  if (bytes[0] !== NO_CONNECTION) return [kind, {}];
  const fields: Record<string, number> = {};
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let at = 1; at < bytes.length; at += 5) {
    fields[bytes[at] === 0x15 ? 'from_connection_id' : 'to_connection_id'] = view.getUint32(at + 1, true);
  }
  return [kind, fields];
}
