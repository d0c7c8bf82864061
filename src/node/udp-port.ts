// One UDP socket of the machine. Spec: "Socket model" (1.1), "Sizes" (1.12).
// HOT PATH
import dgram from 'node:dgram';
import { EMPTY_BYTES } from '../core/base/bytes.ts';
import { NetworkingError } from '../core/base/errors.ts';
import type { DatagramSink, NetAddress, UdpPort, UdpPortOptions } from '../core/platform.ts';

/** Opens a port at once. Throws `BindFailed`, naming address, port and the system's reason; `NotSupported`. */
export function openUdpPort(options: UdpPortOptions, sink: DatagramSink, nowUs: () => number): NodeUdpPort {
  const { address, port, reusePort = false } = options;
  if (reusePort && !CAN_REUSE_PORT) throw cannotShare(port, `Node ${process.versions.node} is too old for it`);
  let socket = bind(address, port, reusePort);
  if (address === '::' && socket instanceof Error && NO_IPV6.has(socket.code ?? ''))
    socket = bind('0.0.0.0', port, reusePort);
  if (!(socket instanceof Error)) return new NodeUdpPort(socket, sink, nowUs);

  const reason = socket.code ?? socket.message;
  if (reusePort && NO_REUSE_PORT.has(reason)) throw cannotShare(port, `this system answers ${reason}`);
  throw new NetworkingError('BindFailed', `cannot open UDP port ${port} on ${address}: ${reason}`, { cause: socket });
}

// The least that a buffer has room for: more than what goes over most networks.
const SMALL_DATAGRAM_BYTES = 1500;
const LARGE_DATAGRAM_BYTES = 8_192;
const MAX_DATAGRAM_BYTES = 65_507;
// What waits here is late already; beyond this the network gains nothing from more.
const MAX_QUEUED_DATAGRAMS = 256;
/** So many go to the system in a row. A receiver on the same machine wakes up once for all of them. */
const BATCH_DATAGRAMS = 32;
/** Of larger ones fewer: its buffer may be small. */
const BATCH_BYTES = BATCH_DATAGRAMS * 1300;
const MAX_PORT = 0xffff;
const IPV4_MAPPED = '::ffff:';

export class NodeUdpPort implements UdpPort {
  readonly local: NetAddress;

  readonly #socket: dgram.Socket;
  readonly #isIPv6: boolean;
  #isOpen = true;
  /** Written in this turn of the event loop, not handed to the system yet: the first `#batched` of these. */
  readonly #batch: OutgoingDatagram[] = [];
  #batched = 0;
  #batchedBytes = 0;
  /** Where the last datagram lay, and the part that was used: in bulk the same again, and a view is not free. */
  #source: Uint8Array = EMPTY_BYTES;
  #sourceView: Uint8Array = EMPTY_BYTES;
  /** Where the last datagram went, and how this socket writes that. */
  #lastAddress = '';
  #lastReachable = '';

  /** `socket` is bound. */
  constructor(socket: dgram.Socket, sink: DatagramSink, nowUs: () => number) {
    const { address, port, family } = socket.address();
    this.local = { address, port };
    this.#isIPv6 = family === 'IPv6';
    this.#socket = socket;
    // Belated news of earlier sends, such as "connection refused": to the protocol they are lost.
    socket.on('error', () => {});
    socket.on('message', (bytes, from) => {
      if (this.#isOpen) sink.onDatagram(bytes, from, nowUs());
    });
  }

  send(bytes: Uint8Array, length: number, to: NetAddress): boolean {
    if (!this.#isOpen) return false;
    if (to.address !== this.#lastAddress) {
      this.#lastAddress = to.address;
      this.#lastReachable = this.#reachable(to.address);
    }
    const isSendable = length <= MAX_DATAGRAM_BYTES && to.port > 0 && to.port <= MAX_PORT && this.#lastReachable !== '';
    if (!isSendable || this.#socket.getSendQueueCount() >= MAX_QUEUED_DATAGRAMS) return false;
    if (this.#batched === 0) process.nextTick(this.flush);
    if (this.#batched === this.#batch.length) this.#batch.push(new OutgoingDatagram());
    if (bytes !== this.#source || length !== this.#sourceView.length) {
      this.#source = bytes;
      this.#sourceView = bytes.subarray(0, length);
    }
    this.#batch[this.#batched++]!.set(this.#sourceView, to.port, this.#lastReachable);
    this.#batchedBytes += length;
    if (this.#batched === BATCH_DATAGRAMS || this.#batchedBytes >= BATCH_BYTES) this.flush();
    return true;
  }

  readonly flush = (): void => {
    const count = this.#batched;
    if (count === 0) return;
    this.#batched = this.#batchedBytes = 0;
    if (!this.#isOpen) return;
    for (let i = 0; i < count; i++) {
      const { datagram, port, address } = this.#batch[i]!;
      // No callback: it would cost as much as half of the way into the system, and what the system refuses is lost anyway.
      this.#socket.send(datagram, port, address);
    }
    // They have left, unless the system was busy: then the queue still reads from their buffers.
    if (this.#socket.getSendQueueCount() > 0) this.#batch.length = 0;
  };

  setRef(keepAlive: boolean): void {
    if (keepAlive) this.#socket.ref();
    else this.#socket.unref();
  }

  close(): void {
    if (!this.#isOpen) return;
    this.flush();
    this.#isOpen = false;
    this.#socket.close();
  }

  /** `address` as this socket's family writes it; empty if it cannot get there. */
  #reachable(address: string): string {
    if (this.#isIPv6) return address.includes(':') ? address : IPV4_MAPPED + address;
    if (address.startsWith(IPV4_MAPPED)) return address.slice(IPV4_MAPPED.length);
    return address.includes(':') ? '' : address;
  }
}

/** One datagram and where it goes; reused. */
class OutgoingDatagram {
  #buffer = Buffer.allocUnsafeSlow(SMALL_DATAGRAM_BYTES);
  datagram = this.#buffer;
  port = 0;
  address = '';

  set(bytes: Uint8Array, port: number, address: string): void {
    const { length } = bytes;
    if (length > this.#buffer.length)
      this.#buffer = Buffer.allocUnsafeSlow(LARGE_DATAGRAM_BYTES < length ? MAX_DATAGRAM_BYTES : LARGE_DATAGRAM_BYTES);
    if (length !== this.datagram.length) this.datagram = this.#buffer.subarray(0, length);
    this.#buffer.set(bytes);
    this.port = port;
    this.address = address;
  }
}

// Older versions ignore the option, and the second to open the port would fail.
const [MAJOR = 0, MINOR = 0] = process.versions.node.split('.').map(Number);
const CAN_REUSE_PORT = MAJOR > 23 || (MAJOR === 23 && MINOR >= 1) || (MAJOR === 22 && MINOR >= 12);
const NO_REUSE_PORT: ReadonlySet<string> = new Set(['ENOTSUP', 'EOPNOTSUPP', 'ENOPROTOOPT']);

function cannotShare(port: number, why: string): NetworkingError {
  const where = 'reusePort needs Linux or a BSD, and Node 22.12, 23.1 or later';
  return new NetworkingError('NotSupported', `cannot share UDP port ${port}: ${where}; ${why}`);
}

const NO_IPV6: ReadonlySet<string> = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EPROTONOSUPPORT']);
// The default of 208 KiB is 2 ms of a gigabit link: less than one pause of the garbage collector.
const RECEIVE_BUFFER_BYTES = 4 << 20;
const SEND_BUFFER_BYTES = 1 << 20;
const LEAST_BUFFER_BYTES = 256 << 10;

/** All addresses are numeric, and Node binds and sends at once if the lookup answers at once. */
const NO_LOOKUP: dgram.SocketOptions['lookup'] = (host, _options, callback) => callback(null, host, 0);

/** As current versions of Node take it. */
interface SharedSocketOptions extends dgram.SocketOptions {
  readonly reusePort: boolean;
}

function bind(address: string, port: number, reusePort: boolean): dgram.Socket | NodeJS.ErrnoException {
  const type = address.includes(':') ? 'udp6' : 'udp4';
  const options: SharedSocketOptions = { type, lookup: NO_LOOKUP, reusePort };
  const socket = dgram.createSocket(options);
  let failure: NodeJS.ErrnoException | undefined;
  const onError = (error: NodeJS.ErrnoException) => {
    failure = error;
  };
  socket.on('error', onError);
  try {
    // Node would take the low 16 bits.
    if (!Number.isInteger(port) || port < 0 || port > MAX_PORT) throw new RangeError('no such port');
    // Exclusive: workers of a cluster would share the port otherwise.
    socket.bind({ address, port, exclusive: true });
  } catch (error) {
    failure = error as NodeJS.ErrnoException;
  }
  if (failure) {
    socket.close();
    return failure;
  }
  socket.off('error', onError);
  request(RECEIVE_BUFFER_BYTES, (bytes) => socket.setRecvBufferSize(bytes));
  request(SEND_BUFFER_BYTES, (bytes) => socket.setSendBufferSize(bytes));
  return socket;
}

/** As much as the system grants: Linux cuts silently, others refuse. */
function request(mostBytes: number, setBytes: (bytes: number) => void): void {
  for (let bytes = mostBytes; bytes >= LEAST_BUFFER_BYTES; bytes /= 2) {
    try {
      setBytes(bytes);
      return;
    } catch {
      // Half of it, then.
    }
  }
}
