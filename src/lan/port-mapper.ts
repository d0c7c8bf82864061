// Keeps one UDP port open at the gateway: asks by PCP, or by NAT-PMP where that is all there is, renews, notices a gateway
// that has forgotten, and ends. No I/O, no clock. RFC 6887 (8.1.1, 8.5, 11.2), RFC 6886 (3.1 – 3.7).

import { IpAddress } from '../core/base/address.ts';
import { NEVER, US_PER_MS, US_PER_SECOND } from '../core/base/time.ts';
import type { NetAddress, Random } from '../core/platform.ts';
import {
  decodeGatewayResponse,
  encodePcpMap,
  encodePmpAddressRequest,
  encodePmpMap,
  type GatewayResponse,
  NONCE_BYTES,
  PCP_UNSUPPORTED_VERSION,
  pcpResultText,
  pmpResultText,
} from './gateway-packets.ts';

export interface PortMapperOptions {
  readonly internalPort: number;
  /** What we would like; 0 for any. */
  readonly externalPort: number;
  readonly lifetimeS: number;
  readonly gateway: NetAddress;
  /** Ours towards the gateway. */
  readonly clientAddress: IpAddress;
}

/** What the gateway has granted. */
export interface MappingGrant {
  readonly protocol: 'PCP' | 'NAT-PMP';
  readonly externalAddress: string;
  readonly externalPort: number;
  readonly lifetimeS: number;
}

/** `closing` waits for the gateway to confirm the end. */
export type MapperState = 'asking' | 'mapped' | 'refused' | 'closing' | 'closed';

// RFC 6887, 8.1.1.
const PCP_FIRST_US = 3 * US_PER_SECOND;
const PCP_MOST_US = 1024 * US_PER_SECOND;
/** How often PCP is tried before NAT-PMP: what knows neither is silent to both. */
const PCP_TRIES = 2;
// RFC 6886, 3.1.
const PMP_FIRST_US = 250 * US_PER_MS;
const PMP_TRIES = 9;
/** RFC 6887, 11.2.1: no renewal sooner than that. */
const LEAST_RENEWAL_US = 4 * US_PER_SECOND;
const END_TRIES = 3;
/** How soon a gateway that once had our mapping is asked again after a refusal. */
const RETRY_US = 60 * US_PER_SECOND;
/** Nobody is believed who grants more. */
const MAX_LIFETIME_S = 86_400;

export class PortMapper {
  readonly #options: PortMapperOptions;
  readonly #random: Random;
  readonly #nonce = new Uint8Array(NONCE_BYTES);
  readonly #outgoing: Uint8Array[] = [];
  #state: MapperState = 'asking';
  #usesPcp = true;
  #tries = 0;
  #isRenewing = false;
  #waitUs = 0;
  #nextUs: number;
  #expiryUs = NEVER;
  #grant: MappingGrant | undefined;
  /** NAT-PMP tells the address apart from the port. */
  #pmpAddress: IpAddress | undefined;
  #epoch: { readonly serverS: number; readonly clientUs: number } | undefined;
  #refusal = '';
  renewals = 0;
  /** Datagrams that were not what we waited for. */
  ignored = 0;

  constructor(options: PortMapperOptions, random: Random, nowUs: number) {
    this.#options = options;
    this.#random = random;
    random.fill(this.#nonce);
    this.#nextUs = nowUs;
  }

  get state(): MapperState {
    return this.#state;
  }

  /** Undefined before it is mapped, and when it was lost. */
  get grant(): MappingGrant | undefined {
    return this.#grant;
  }

  /** In state `refused`: why, as the end of a sentence. */
  get refusal(): string {
    return this.#refusal;
  }

  get nextTimeoutUs(): number {
    return this.#outgoing.length > 0 ? 0 : Math.min(this.#nextUs, this.#grant === undefined ? NEVER : this.#expiryUs);
  }

  /** For the gateway. */
  pollTransmit(): Uint8Array | undefined {
    return this.#outgoing.shift();
  }

  handleTimeout(nowUs: number): void {
    if (this.#grant !== undefined && nowUs >= this.#expiryUs && this.#state === 'mapped') {
      this.#grant = undefined;
      this.#isRenewing = false;
      this.#restart(true, nowUs);
    }
    if (nowUs < this.#nextUs) return;
    if (this.#state === 'asking') this.#ask(nowUs);
    else if (this.#state === 'mapped') this.#renew(nowUs);
    else if (this.#state === 'closing') this.#end(nowUs);
  }

  handleDatagram(bytes: Uint8Array, from: NetAddress, nowUs: number): void {
    const { gateway } = this.#options;
    const isOurs = from.address === gateway.address && from.port === gateway.port;
    const response = isOurs ? decodeGatewayResponse(bytes) : undefined;
    const isAwaited = this.#state !== 'closed' && this.#state !== 'refused';
    if (response === undefined || !isAwaited || !this.#take(response, nowUs)) this.ignored++;
  }

  /** Tells the gateway, which answers or not: `closed` comes within two seconds. */
  close(nowUs: number): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    const isMapped = this.#grant !== undefined;
    // The answer may be on its way.
    if (this.#state === 'asking' && this.#tries > 0) this.#request(0);
    this.#state = isMapped ? 'closing' : 'closed';
    this.#tries = 0;
    this.#nextUs = isMapped ? nowUs : NEVER;
  }

  // ---- asking

  #restart(usesPcp: boolean, nowUs: number): void {
    if (usesPcp !== this.#usesPcp) this.#epoch = undefined;
    this.#state = 'asking';
    this.#usesPcp = usesPcp;
    this.#tries = 0;
    this.#nextUs = nowUs;
    this.#pmpAddress = undefined;
  }

  #ask(nowUs: number): void {
    if (this.#usesPcp && this.#tries >= PCP_TRIES && this.#grant === undefined) this.#restart(false, nowUs);
    if (!this.#usesPcp && this.#tries >= PMP_TRIES) {
      this.#refuse('it answers neither PCP nor NAT-PMP', nowUs);
      return;
    }
    this.#waitUs = this.#usesPcp ? this.#pcpWaitUs() : PMP_FIRST_US * 2 ** this.#tries;
    this.#tries++;
    this.#nextUs = nowUs + this.#waitUs;
    this.#request(this.#options.lifetimeS);
  }

  /** RFC 6887, 8.1.1: twice as long each time, up to a tenth sooner or later. */
  #pcpWaitUs(): number {
    const meanUs = this.#tries === 0 ? PCP_FIRST_US : Math.min(2 * this.#waitUs, PCP_MOST_US);
    return meanUs * (1 + 0.1 * (this.#random.u32() / 0x8000_0000 - 1));
  }

  /** RFC 6887, 11.2.1: at a half to five eighths of the lifetime, then at the same part of what is left. */
  #renew(nowUs: number): void {
    this.#isRenewing = true;
    this.#request(this.#options.lifetimeS);
    this.#planRenewal(nowUs);
  }

  #planRenewal(nowUs: number): void {
    const part = 1 / 2 + this.#random.u32() / 0x1_0000_0000 / 8;
    this.#nextUs = nowUs + Math.max((this.#expiryUs - nowUs) * part, LEAST_RENEWAL_US);
  }

  #end(nowUs: number): void {
    if (this.#tries >= END_TRIES) {
      this.#finish();
      return;
    }
    this.#nextUs = nowUs + PMP_FIRST_US * 2 ** this.#tries++;
    this.#request(0);
  }

  #finish(): void {
    this.#state = 'closed';
    this.#nextUs = NEVER;
    this.#outgoing.length = 0;
  }

  #request(lifetimeS: number): void {
    const { internalPort, clientAddress, externalPort } = this.#options;
    const external = this.#grant ?? { externalPort, externalAddress: '0.0.0.0' };
    const request = {
      nonce: this.#nonce,
      internalPort,
      externalPort: external.externalPort,
      externalAddress: IpAddress.fromNet({ address: external.externalAddress, port: 0 }),
      clientAddress,
      lifetimeS,
    };
    if (this.#usesPcp) this.#outgoing.push(encodePcpMap(request));
    else {
      if (lifetimeS > 0) this.#outgoing.push(encodePmpAddressRequest());
      this.#outgoing.push(encodePmpMap(request));
    }
  }

  // ---- being answered

  /** Whether it was something that we waited for. */
  #take(response: GatewayResponse, nowUs: number): boolean {
    if (response.kind === 'pmpOnly') {
      if (!this.#usesPcp || this.#state !== 'asking') return false;
      this.#restart(false, nowUs);
      return true;
    }
    if ((response.kind === 'pcpMap' || response.kind === 'pcpAnnounce') !== this.#usesPcp) return false;
    switch (response.kind) {
      case 'pcpMap':
        return this.#takePcp(response, nowUs);
      case 'pcpAnnounce':
        if (response.result === PCP_UNSUPPORTED_VERSION && this.#state === 'asking') this.#restart(false, nowUs);
        else if (response.result !== 0) return false;
        else this.#checkEpoch(response.epochS, nowUs);
        return true;
      case 'pmpAddress':
        return this.#takePmpAddress(response, nowUs);
      case 'pmpMap':
        return this.#takePmp(response, nowUs);
    }
  }

  #takePcp({ result, epochS, mapping }: GatewayResponse & { kind: 'pcpMap' }, nowUs: number): boolean {
    // RFC 6887, 11.4: anybody in between could send it, but not know the nonce.
    const isOurs = mapping.nonce.every((byte, i) => byte === this.#nonce[i]);
    if (!isOurs || mapping.internalPort !== this.#options.internalPort) return false;
    if (result === PCP_UNSUPPORTED_VERSION && this.#state === 'asking') {
      this.#restart(false, nowUs);
      return true;
    }
    if (result !== 0) return this.#takeRefusal(pcpResultText(result), nowUs);
    this.#noteEpoch(epochS, nowUs);
    const { externalAddress, externalPort, lifetimeS } = mapping;
    return this.#takeGrant({ protocol: 'PCP', externalAddress: externalAddress.host, externalPort, lifetimeS }, nowUs);
  }

  #takePmpAddress({ result, epochS, address }: GatewayResponse & { kind: 'pmpAddress' }, nowUs: number): boolean {
    if (result !== 0) return this.#takeRefusal(pmpResultText(result), nowUs);
    if (this.#state === 'closing') return false;
    this.#pmpAddress = address;
    if (this.#grant !== undefined) this.#grant = { ...this.#grant, externalAddress: address.host };
    this.#checkEpoch(epochS, nowUs);
    return true;
  }

  #takePmp({ result, epochS, mapping }: GatewayResponse & { kind: 'pmpMap' }, nowUs: number): boolean {
    if (result !== 0) return this.#takeRefusal(pmpResultText(result), nowUs);
    if (mapping.internalPort !== this.#options.internalPort) return false;
    this.#noteEpoch(epochS, nowUs);
    const { externalPort, lifetimeS } = mapping;
    // Without the address it is not complete; both will be asked for again.
    if (lifetimeS > 0 && this.#state === 'asking' && this.#pmpAddress === undefined) return true;
    const externalAddress = this.#pmpAddress?.host ?? '0.0.0.0';
    return this.#takeGrant({ protocol: 'NAT-PMP', externalAddress, externalPort, lifetimeS }, nowUs);
  }

  #takeGrant(grant: MappingGrant, nowUs: number): boolean {
    if (this.#state === 'closing') {
      if (grant.lifetimeS !== 0) return false;
      this.#finish();
      return true;
    }
    if (grant.lifetimeS === 0 || grant.externalPort === 0) return false;
    if (this.#isRenewing) this.renewals++;
    this.#isRenewing = false;
    this.#state = 'mapped';
    const lifetimeS = Math.min(grant.lifetimeS, MAX_LIFETIME_S);
    this.#grant = { ...grant, lifetimeS };
    this.#expiryUs = nowUs + lifetimeS * US_PER_SECOND;
    this.#planRenewal(nowUs);
    return true;
  }

  /** A refused renewal is tried again until the mapping is over; a refused first request is the end. */
  #takeRefusal(why: string, nowUs: number): boolean {
    if (this.#state === 'closing') this.#finish();
    else if (this.#state === 'asking') this.#refuse(why, nowUs);
    return true;
  }

  /** Final for a gateway that never granted anything; one that did may come to its senses. */
  #refuse(why: string, nowUs: number): void {
    if (this.#expiryUs !== NEVER) {
      this.#restart(true, nowUs + RETRY_US);
      return;
    }
    this.#state = 'refused';
    this.#refusal = why;
    this.#nextUs = NEVER;
    this.#outgoing.length = 0;
  }

  // ---- whether the gateway remembers

  #noteEpoch(serverS: number, nowUs: number): void {
    this.#epoch = { serverS, clientUs: nowUs };
  }

  /** Somebody else's clock that jumps has begun anew, and knows nothing of us: ask now. */
  #checkEpoch(serverS: number, nowUs: number): void {
    const before = this.#epoch;
    this.#noteEpoch(serverS, nowUs);
    if (before === undefined || this.#state !== 'mapped') return;
    const clientS = (nowUs - before.clientUs) / US_PER_SECOND;
    const isPlausible = this.#usesPcp
      ? isPlausibleInPcp(serverS - before.serverS, clientS)
      : serverS >= before.serverS + (clientS * 7) / 8 - 2;
    if (!isPlausible) this.#nextUs = nowUs;
  }
}

/** RFC 6887, 8.5: both clocks agree to a sixteenth and two seconds. */
function isPlausibleInPcp(serverS: number, clientS: number): boolean {
  return serverS >= -1 && clientS + 2 >= serverS - serverS / 16 && serverS + 2 >= clientS - clientS / 16;
}
