// A gateway that maps ports by PCP and NAT-PMP, as dumb as it can be, for tests. RFC 6887, RFC 6886.

export interface TestGatewayOptions {
  readonly speaksPcp?: boolean;
  readonly speaksPmp?: boolean;
  /** Says nothing in a protocol it does not speak, in place of naming the other one. */
  readonly isSilent?: boolean;
  readonly mostLifetimeS?: number;
}

export class TestGateway {
  /** External ports by internal port. */
  readonly mappings = new Map<number, number>();
  externalAddress = '203.0.113.7';
  /** Answers all requests with this result. */
  result = 0;
  /** What was asked for: `pcp 7200`, `pmp 0`, `pmp address`. */
  readonly log: string[] = [];
  readonly #options: TestGatewayOptions;
  #bootedAtUs: number;

  constructor(options: TestGatewayOptions, nowUs: number) {
    this.#options = options;
    this.#bootedAtUs = nowUs - 1_000_000_000;
  }

  reboot(nowUs: number): void {
    this.mappings.clear();
    this.#bootedAtUs = nowUs;
  }

  /** What it answers. */
  handle(bytes: Uint8Array, nowUs: number): Uint8Array | undefined {
    const { speaksPcp = true, speaksPmp = true, isSilent = false } = this.#options;
    if (bytes[0] === 2) {
      if (speaksPcp) return this.#pcp(Buffer.from(bytes), nowUs);
      return isSilent || !speaksPmp ? undefined : Buffer.from([0, 0x80, 0, 1, ...this.#epoch(nowUs)]);
    }
    return speaksPmp ? this.#pmp(Buffer.from(bytes), nowUs) : undefined;
  }

  /** What it multicasts after a reboot. */
  announcement(nowUs: number): Uint8Array {
    const out = Buffer.alloc(24);
    out[0] = 2;
    out[1] = 0x80;
    out.set(this.#epoch(nowUs), 8);
    return out;
  }

  #pcp(request: Buffer, nowUs: number): Uint8Array {
    const lifetimeS = request.readUInt32BE(4);
    this.log.push(`pcp ${lifetimeS}`);
    const out = Buffer.from(request);
    out[1] = request[1]! | 0x80;
    out.fill(0, 2, 24);
    out[3] = this.result;
    out.writeUInt32BE(this.#grant(lifetimeS, request.readUInt16BE(40), request.readUInt16BE(42)), 4);
    out.set(this.#epoch(nowUs), 8);
    if (lifetimeS > 0) out.writeUInt16BE(this.mappings.get(request.readUInt16BE(40)) ?? 0, 42);
    out.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...this.externalAddress.split('.').map(Number)], 44);
    return out;
  }

  #pmp(request: Buffer, nowUs: number): Uint8Array {
    const head = [0, 0x80 | request[1]!, 0, this.result, ...this.#epoch(nowUs)];
    if (request[1] === 0) {
      this.log.push('pmp address');
      return Buffer.from([...head, ...this.externalAddress.split('.').map(Number)]);
    }
    const lifetimeS = request.readUInt32BE(8);
    this.log.push(`pmp ${lifetimeS}`);
    const internalPort = request.readUInt16BE(4);
    const granted = this.#grant(lifetimeS, internalPort, request.readUInt16BE(6));
    const out = Buffer.alloc(16);
    out.set(head);
    out.writeUInt16BE(internalPort, 8);
    out.writeUInt16BE(lifetimeS === 0 ? 0 : (this.mappings.get(internalPort) ?? 0), 10);
    out.writeUInt32BE(granted, 12);
    return out;
  }

  /** The lifetime. */
  #grant(lifetimeS: number, internalPort: number, wanted: number): number {
    if (this.result !== 0) return 30;
    if (lifetimeS === 0) this.mappings.delete(internalPort);
    else if (!this.mappings.has(internalPort)) this.mappings.set(internalPort, wanted === 0 ? 50_000 : wanted);
    return Math.min(lifetimeS, this.#options.mostLifetimeS ?? 86_400);
  }

  #epoch(nowUs: number): Uint8Array {
    const out = Buffer.alloc(4);
    out.writeUInt32BE(Math.floor((nowUs - this.#bootedAtUs) / 1_000_000));
    return out;
  }
}
