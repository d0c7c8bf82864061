// A port of this machine, opened at the gateway of the local network: the sockets and the clock of a `PortMapper`.

import dgram from 'node:dgram';
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { IpAddress } from '../core/base/address.ts';
import { NetworkingError } from '../core/base/errors.ts';
import { NEVER } from '../core/base/time.ts';
import type { Alarm, NetAddress, Platform } from '../core/platform.ts';
import { nodePlatform } from '../node/platform.ts';
import { GATEWAY_PORT } from './gateway-packets.ts';
import { type MappingGrant, PortMapper } from './port-mapper.ts';

export interface MapPortOptions {
  /** UDP port of this machine, 1 – 65535. */
  readonly internalPort: number;
  /** What the outside should see, if it is free. Default: the same. */
  readonly externalPort?: number;
  /** For how long to ask each time, in seconds: 120 – 86400. It is renewed until `close`. Default: 7200. */
  readonly lifetimeS?: number;
  /** Numeric IPv4 address, with a port if that is not 5351. Default: that of the default route (Linux only). */
  readonly gateway?: string;
  /** Gives up. */
  readonly signal?: AbortSignal;
}

interface MappingEvents {
  /** It was granted again, after it was lost or at another address or port. */
  changed: [mapping: PortMapping];
  /** It has expired, and the gateway does not renew it. It is asked on. */
  lost: [];
}

/**
 * Opens a UDP port at the gateway, by PCP or NAT-PMP. Rejects with `InvalidParam`, `ConnectFailed` if the gateway refuses
 * or is silent (after about 140 s: see `signal`), `Aborted`, and `NotSupported` if it cannot be found.
 */
export async function mapPort(options: MapPortOptions): Promise<PortMapping> {
  const { signal, internalPort, externalPort = internalPort, lifetimeS = 7200 } = options;
  checkInteger('internalPort', internalPort, 1, 0xffff);
  checkInteger('externalPort', externalPort, 0, 0xffff);
  checkInteger('lifetimeS', lifetimeS, 120, 86_400);
  const gateway = gatewayOf(options.gateway ?? defaultGateway());
  if (signal?.aborted) throw aborted();
  const socket = await connectedSocket(gateway);
  const { address } = socket.address();
  const clientAddress = IpAddress.fromNet({ address, port: 0 });
  const mapping = new PortMapping({ internalPort, externalPort, lifetimeS, gateway, clientAddress }, socket);
  await mapping.settled(signal);
  return mapping;
}

/** A port that the gateway passes on to this machine. Made by `mapPort`. */
export class PortMapping extends EventEmitter<MappingEvents> {
  readonly #platform: Platform = nodePlatform();
  readonly #socket: dgram.Socket;
  readonly #notices: dgram.Socket;
  readonly #gateway: NetAddress;
  readonly #mapper: PortMapper;
  readonly #alarm: Alarm;
  #last: MappingGrant | undefined;
  #isLost = false;
  #isDone = false;
  /** Told when the state changes. */
  #waiting: (() => void)[] = [];

  /** @internal */
  constructor(options: ConstructorParameters<typeof PortMapper>[0], socket: dgram.Socket) {
    super();
    this.#socket = socket;
    this.#gateway = options.gateway;
    this.#mapper = new PortMapper(options, this.#platform.random, this.#platform.nowUs());
    this.#alarm = this.#platform.newAlarm(() => this.#run());
    // What the system tells of single datagrams, such as "connection refused": the mapper asks again.
    this.#notices = dgram.createSocket({ type: 'udp4', reuseAddr: true });
    for (const each of [socket, this.#notices]) {
      each.on('error', () => {});
      each.on('message', (bytes, from) => {
        this.#mapper.handleDatagram(bytes, from, this.#platform.nowUs());
        this.#run();
      });
    }
    // Where it tells all hosts that it has begun anew: RFC 6887, 14.1; RFC 6886, 3.2.1. Without that the renewal finds out.
    this.#notices.bind({ port: NOTICE_PORT, exclusive: true });
    this.#notices.unref();
    this.#run();
  }

  /** Numeric. Undefined while it is lost. */
  get externalAddress(): string | undefined {
    return this.#mapper.grant?.externalAddress;
  }

  get externalPort(): number | undefined {
    return this.#mapper.grant?.externalPort;
  }

  /** What the gateway granted, in seconds. */
  get lifetimeS(): number | undefined {
    return this.#mapper.grant?.lifetimeS;
  }

  get protocol(): 'PCP' | 'NAT-PMP' | undefined {
    return this.#mapper.grant?.protocol;
  }

  /** How often it has been renewed. */
  get renewals(): number {
    return this.#mapper.renewals;
  }

  /** Whether it keeps the process alive (it does when opened). */
  setRef(keepAlive: boolean): void {
    this.#alarm.setRef(keepAlive);
    if (keepAlive) this.#socket.ref();
    else this.#socket.unref();
  }

  /** Ends the mapping at the gateway; resolves when that is done, or after two seconds without an answer. */
  async close(): Promise<void> {
    this.#mapper.close(this.#platform.nowUs());
    this.#run();
    while (this.#mapper.state !== 'closed') await this.#change();
  }

  /** @internal Resolves when it is mapped; rejects, and closes, when it will not be. */
  async settled(signal: AbortSignal | undefined): Promise<void> {
    const onAbort = () => this.#wake();
    signal?.addEventListener('abort', onAbort);
    while (this.#mapper.state === 'asking' && !signal?.aborted) await this.#change();
    signal?.removeEventListener('abort', onAbort);
    if (this.#mapper.state === 'mapped') return;
    const why = this.#mapper.refusal;
    await this.close();
    if (why === '') throw aborted();
    throw new NetworkingError('ConnectFailed', `the gateway ${this.#gateway.address} opens no port: ${why}`);
  }

  #run(): void {
    if (this.#isDone) return;
    this.#mapper.handleTimeout(this.#platform.nowUs());
    for (let bytes = this.#mapper.pollTransmit(); bytes !== undefined; bytes = this.#mapper.pollTransmit()) {
      this.#socket.send(bytes, () => {});
    }
    if (this.#mapper.state === 'closed') {
      this.#isDone = true;
      this.#alarm.set(NEVER);
      this.#socket.close();
      this.#notices.close();
    } else this.#alarm.set(this.#mapper.nextTimeoutUs);
    this.#wake();
    this.#tell();
  }

  #tell(): void {
    const { grant, state } = this.#mapper;
    if (state === 'closing' || state === 'closed') return;
    const last = this.#last;
    if (grant === undefined) {
      if (last !== undefined && !this.#isLost) {
        this.#isLost = true;
        this.emit('lost');
      }
      return;
    }
    const isSame = last?.externalAddress === grant.externalAddress && last.externalPort === grant.externalPort;
    const isNews = last !== undefined && (this.#isLost || !isSame);
    this.#last = grant;
    this.#isLost = false;
    if (isNews) this.emit('changed', this);
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

const NOTICE_PORT = 5350;

/** The gateway of the default route with the least metric. Throws `NotSupported` if there is none to be found. */
function defaultGateway(): string {
  let table = '';
  try {
    table = readFileSync('/proc/net/route', 'utf8');
  } catch {
    // Not Linux.
  }
  const found = gatewayInRouteTable(table);
  if (found !== undefined) return found;
  throw new NetworkingError('NotSupported', 'found no default route to a gateway in /proc/net/route: give `gateway`');
}

/** @internal Of the text of /proc/net/route, where addresses are hexadecimal, least significant byte first. */
export function gatewayInRouteTable(text: string): string | undefined {
  const routes = text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, destination, gateway]) => destination === '00000000' && /^[0-9A-F]{8}$/i.test(gateway ?? ''))
    .filter(([, , gateway, flags]) => gateway !== '00000000' && (Number.parseInt(flags ?? '0', 16) & 3) === 3)
    .sort((a, b) => Number(a[6]) - Number(b[6]));
  const hex = routes[0]?.[2];
  return hex
    ?.match(/../g)
    ?.reverse()
    .map((byte) => Number.parseInt(byte, 16))
    .join('.');
}

function gatewayOf(text: string): NetAddress {
  const address = IpAddress.parse(text);
  if (address?.isIPv4) return { address: address.host, port: address.port === 0 ? GATEWAY_PORT : address.port };
  throw new NetworkingError('InvalidParam', `gateway "${text}" is not a numeric IPv4 address`);
}

function checkInteger(what: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new NetworkingError('InvalidParam', `${what} ${value} is not a whole number from ${min} to ${max}`);
}

function aborted(): NetworkingError {
  return new NetworkingError('Aborted', 'mapping a port was aborted');
}

/** Connected: the system knows then which address of ours the gateway sees, and drops what is not from it. */
function connectedSocket({ address, port }: NetAddress): Promise<dgram.Socket> {
  return new Promise((resolve, reject) => {
    const socket = dgram.createSocket('udp4');
    const onError = (error: NodeJS.ErrnoException) => {
      socket.close();
      const why = error.code ?? error.message;
      reject(new NetworkingError('ConnectFailed', `cannot reach the gateway ${address}: ${why}`, { cause: error }));
    };
    socket.once('error', onError);
    socket.connect(port, address, () => {
      socket.off('error', onError);
      resolve(socket);
    });
  });
}
