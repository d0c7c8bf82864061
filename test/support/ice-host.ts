// An `IcePort` with a motor, on any platform, simulated or real. And two agents joined by signals that take some time.
import type { AllowedTypes, IceAgent, IceEvent } from '../../src/core/ice/ice-agent.ts';
import { IcePort, type IceServers, type LocalAddress } from '../../src/core/ice/ice-port.ts';
import type { Relay, Route } from '../../src/core/ice/route.ts';
import type { NetAddress, Platform, UdpPort } from '../../src/core/platform.ts';

export interface ReceivedDatagram {
  readonly bytes: Uint8Array;
  readonly from: NetAddress;
  readonly relay: Relay | undefined;
}

export interface IceHostOptions extends Partial<IceServers> {
  readonly addresses: readonly LocalAddress[];
  readonly bind?: string;
  readonly allowsLoopback?: boolean;
}

export class IceHost {
  readonly platform: Platform;
  readonly udp: UdpPort;
  readonly ice: IcePort;
  /** What was no ICE, or was relayed. */
  readonly received: ReceivedDatagram[] = [];
  /** Called with each event; set by `join`. */
  onEvent: (agent: IceAgent, event: IceEvent) => void = () => {};
  sentDatagrams = 0;
  readonly #alarm;
  readonly #slot = { bytes: new Uint8Array(1600), length: 0, to: undefined as NetAddress | undefined };

  constructor(platform: Platform, options: IceHostOptions) {
    const { addresses, stun = [], turn = [], bind = '::', allowsLoopback = false } = options;
    this.platform = platform;
    this.udp = platform.openUdp(
      { address: bind, port: 0 },
      { onDatagram: (bytes, from, nowUs) => this.#onDatagram(bytes, from, nowUs) },
    );
    this.#alarm = platform.newAlarm((nowUs) => {
      this.ice.handleTimeout(nowUs);
      this.settle();
    });
    const { port, address } = this.udp.local;
    this.ice = new IcePort(platform, { port, stun, turn, allowsLoopback, mapsIPv4: address.includes(':') });
    this.ice.setLocalAddresses(addresses, platform.nowUs());
    this.settle();
  }

  newAgent(ufrag: string, isControlling: boolean, allowed: AllowedTypes = ALL, remoteUfrag?: string): IceAgent {
    const options = { localUfrag: ufrag, localPwd: `${ufrag}-password`, isControlling, allowed };
    const known = remoteUfrag === undefined ? options : { ...options, remoteUfrag };
    const agent = this.ice.newAgent(known, this.platform.nowUs());
    this.settle();
    return agent;
  }

  /** Sends a datagram of the application. */
  sendOn(route: Route, bytes: Uint8Array): void {
    const buffer = new Uint8Array(1600);
    buffer.set(bytes);
    this.udp.send(buffer, route.wrap(buffer, bytes.length), route.to);
  }

  settle(): void {
    while (this.ice.pollTransmit(this.#slot)) {
      this.sentDatagrams++;
      this.udp.send(this.#slot.bytes, this.#slot.length, this.#slot.to!);
    }
    for (let agent = this.ice.pollReady(); agent !== undefined; agent = this.ice.pollReady()) {
      for (let event = agent.pollEvent(); event !== undefined; event = agent.pollEvent()) this.onEvent(agent, event);
    }
    this.#alarm.set(this.ice.nextTimeoutUs());
  }

  close(): void {
    this.ice.close(this.platform.nowUs());
    this.settle();
    this.udp.close();
  }

  #onDatagram(bytes: Uint8Array, from: NetAddress, nowUs: number): void {
    const arrival = this.ice.handleDatagram(bytes, bytes.length, from, nowUs);
    if (arrival === undefined) this.received.push({ bytes, from, relay: undefined });
    else if (arrival.end > arrival.start) {
      const { start, end, remote, relay } = arrival;
      this.received.push({ bytes: bytes.slice(start, end), from: remote, relay });
    }
    this.settle();
  }
}

export const ALL: AllowedTypes = { relay: true, privateHost: true, publicHost: true };

/** One side of a session. */
export interface Side {
  readonly host: IceHost;
  readonly agent: IceAgent;
  readonly events: IceEvent[];
  readonly signaled: string[];
}

export interface Session {
  readonly client: Side;
  readonly server: Side;
}

export interface SessionOptions {
  readonly allowed?: { readonly client?: AllowedTypes; readonly server?: AllowedTypes };
  /** Candidates that are not passed on. */
  readonly isSwallowed?: (text: string) => boolean;
  readonly roles?: { readonly client: boolean; readonly server: boolean };
  /** Runs `task` after the signaling delay. */
  readonly later: (task: () => void) => void;
}

/** Two agents whose candidates and passwords reach each other. The client does not know the server's ufrag before. */
export function join(clientHost: IceHost, serverHost: IceHost, options: SessionOptions): Session {
  const { allowed = {}, isSwallowed = () => false, later, roles = { client: false, server: true } } = options;
  const make = (host: IceHost, ufrag: string, controls: boolean, types = ALL): Side => {
    const side: Side = { host, agent: host.newAgent(ufrag, controls, types), events: [], signaled: [] };
    return side;
  };
  const connect = (from: Side, to: () => Side | undefined) => {
    from.host.onEvent = (agent, event) => {
      if (agent !== from.agent) return;
      from.events.push(event);
      if (event.kind !== 'localCandidate') return;
      from.signaled.push(event.text);
      if (isSwallowed(event.text)) return;
      later(() => {
        to()?.agent.addRemoteCandidate(event.text, to()!.host.platform.nowUs());
        to()?.host.settle();
      });
    };
    later(() => {
      const peer = to();
      peer?.agent.setRemoteCredentials(from.agent.localUfrag, from.agent.localPwd, peer.host.platform.nowUs());
      peer?.host.settle();
    });
  };
  // `newAgent` of a host settles, and events would be lost: collect them first.
  const early: [IceAgent, IceEvent][] = [];
  clientHost.onEvent = serverHost.onEvent = (agent, event) => early.push([agent, event]);
  const client = make(clientHost, 'CLNT', roles.client, allowed.client);
  const server = make(serverHost, 'SRVR', roles.server, allowed.server);
  connect(client, () => server);
  connect(server, () => client);
  for (const [agent, event] of early) (agent === client.agent ? client : server).host.onEvent(agent, event);
  return { client, server };
}
