// Other ways to talk over UDP that npm has, where they are installed: never a dependency of ours. BENCH_PEERS names a
// folder with a `node_modules` that has some of them; `docs/bench.md` tells how to make one. Both here are WebRTC: data
// channels, reliable and in order. Their offers and answers go through a TCP connection of this machine.

import { createRequire } from 'node:module';
import net from 'node:net';
import { createInterface } from 'node:readline';
import type { Pipe, PipeListener } from './pipes.ts';

/** Only what is used of them. */
interface NodeDataChannel {
  PeerConnection: new (name: string, options: object) => NativePeer;
}
interface NativePeer {
  onLocalDescription(tell: (sdp: string, type: string) => void): void;
  onLocalCandidate(tell: (candidate: string, mid: string) => void): void;
  setRemoteDescription(sdp: string, type: string): void;
  addRemoteCandidate(candidate: string, mid: string): void;
  onDataChannel(tell: (channel: NativeChannel) => void): void;
  createDataChannel(label: string): NativeChannel;
}
interface NativeChannel {
  onOpen(tell: () => void): void;
  onMessage(tell: (bytes: Buffer) => void): void;
  sendMessageBinary(bytes: Uint8Array): boolean;
  bufferedAmount(): number;
  setBufferedAmountLowThreshold(bytes: number): void;
  onBufferedAmountLow(tell: () => void): void;
}
interface Werift {
  RTCPeerConnection: new (options: object) => WeriftPeer;
}
interface WeriftPeer {
  onDataChannel: Subscribable<WeriftChannel>;
  createDataChannel(label: string): WeriftChannel;
  createOffer(): Promise<unknown>;
  createAnswer(): Promise<unknown>;
  setLocalDescription(description: unknown): Promise<unknown>;
  setRemoteDescription(description: unknown): Promise<unknown>;
  localDescription: { readonly sdp: string; readonly type: string };
}
interface WeriftChannel {
  onMessage: Subscribable<Buffer>;
  stateChanged: Subscribable<string>;
  bufferedAmountLow: Subscribable<void>;
  bufferedAmount: number;
  bufferedAmountLowThreshold: number;
  send(bytes: Buffer): void;
}
interface Subscribable<T> {
  subscribe(tell: (value: T) => void): void;
}

interface Signal {
  readonly sdp?: string;
  readonly type?: string;
  readonly candidate?: string;
  readonly mid?: string;
}
type Signaling = { send(signal: Signal): void; onSignal: (signal: Signal) => void };
/** Makes one end of a connection: with `isClient` the end that opens the channel. */
type MakePipe = (signaling: Signaling, isClient: boolean) => Promise<Pipe>;

const PEERS: Readonly<Record<string, MakePipe>> = {
  'node-datachannel': nativePipe,
  werift: weriftPipe,
};
const FOLDER = process.env['BENCH_PEERS'];

export function installedNpmPeers(): string[] {
  return Object.keys(PEERS).filter((name) => {
    try {
      return FOLDER !== undefined && resolvePeer(name) !== '';
    } catch {
      return false;
    }
  });
}

function resolvePeer(name: string): string {
  return createRequire(`${FOLDER}/`).resolve(name);
}

export interface NpmTransport {
  listen(host: string, onPipe: (pipe: Pipe) => void): Promise<PipeListener>;
  connect(host: string, port: number): Promise<Pipe>;
}

export function openNpmPipe(kind: string): NpmTransport {
  const make = PEERS[kind];
  if (make === undefined) throw new Error(`nothing to measure is called "${kind}"`);
  return {
    async listen(host, onPipe) {
      const server = net.createServer((socket) => void make(signalingOver(socket), false).then(onPipe));
      await new Promise<void>((resolve) => server.listen(0, host, resolve));
      return { port: (server.address() as net.AddressInfo).port };
    },
    connect: (host, port) => make(signalingOver(net.connect(port, host)), true),
  };
}

function signalingOver(socket: net.Socket): Signaling {
  const signaling: Signaling = {
    send: (signal) => socket.write(`${JSON.stringify(signal)}\n`),
    onSignal: () => {},
  };
  createInterface({ input: socket }).on('line', (line) => signaling.onSignal(JSON.parse(line) as Signal));
  socket.on('error', () => {});
  return signaling;
}

// Both get slow with more.
const HIGH_WATER_BYTES = 256 << 10;
const LOW_WATER_BYTES = 64 << 10;

function newPipe(): Pipe {
  return { send: () => true, onMessage: () => {}, onWritable: () => {} };
}

function nativePipe(signaling: Signaling, isClient: boolean): Promise<Pipe> {
  const { PeerConnection } = createRequire(`${FOLDER}/`)('node-datachannel') as NodeDataChannel;
  const peer = new PeerConnection('bench', { iceServers: [], bindAddress: '127.0.0.1', maxMessageSize: 1 << 20 });
  peer.onLocalDescription((sdp, type) => signaling.send({ sdp, type }));
  peer.onLocalCandidate((candidate, mid) => signaling.send({ candidate, mid }));
  signaling.onSignal = ({ sdp, type, candidate, mid }) => {
    if (sdp !== undefined) peer.setRemoteDescription(sdp, type!);
    else peer.addRemoteCandidate(candidate!, mid!);
  };
  const use = (channel: NativeChannel) => {
    const pipe = newPipe();
    pipe.send = (bytes) => {
      channel.sendMessageBinary(bytes);
      return channel.bufferedAmount() < HIGH_WATER_BYTES;
    };
    channel.setBufferedAmountLowThreshold(LOW_WATER_BYTES);
    channel.onBufferedAmountLow(() => pipe.onWritable());
    channel.onMessage((bytes) => pipe.onMessage(bytes));
    return pipe;
  };
  return new Promise((resolve) => {
    if (!isClient) {
      peer.onDataChannel((channel) => resolve(use(channel)));
      return;
    }
    const channel = peer.createDataChannel('bench');
    channel.onOpen(() => resolve(use(channel)));
  });
}

async function weriftPipe(signaling: Signaling, isClient: boolean): Promise<Pipe> {
  const { RTCPeerConnection } = createRequire(`${FOLDER}/`)('werift') as Werift;
  const peer = new RTCPeerConnection({ iceServers: [], iceUseIpv6: false });
  const use = (channel: WeriftChannel) => {
    const pipe = newPipe();
    pipe.send = (bytes) => {
      channel.send(Buffer.from(bytes));
      return channel.bufferedAmount < HIGH_WATER_BYTES;
    };
    channel.bufferedAmountLowThreshold = LOW_WATER_BYTES;
    channel.bufferedAmountLow.subscribe(() => pipe.onWritable());
    channel.onMessage.subscribe((bytes) => pipe.onMessage(bytes));
    return pipe;
  };
  const tellDescription = async (made: Promise<unknown>) => {
    // Its candidates are gathered by then, and are in the description.
    await peer.setLocalDescription(await made);
    signaling.send(peer.localDescription);
  };
  signaling.onSignal = ({ sdp, type }) => {
    void peer.setRemoteDescription({ sdp, type }).then(() => {
      if (!isClient) return tellDescription(peer.createAnswer());
      return undefined;
    });
  };
  if (!isClient) return new Promise((resolve) => peer.onDataChannel.subscribe((channel) => resolve(use(channel))));
  const channel = peer.createDataChannel('bench');
  const opened = new Promise<void>((resolve) =>
    channel.stateChanged.subscribe((state) => {
      if (state === 'open') resolve();
    }),
  );
  await tellDescription(peer.createOffer());
  await opened;
  return use(channel);
}
