// A router on real sockets: it forwards datagrams between one client and a server, and can forget about them, so that the
// client comes from another port and what goes to the old one is lost.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

const HOST = '127.0.0.1';

export class RebindingProxy implements AsyncDisposable {
  readonly #serverPort: number;
  readonly #inside = createSocket('udp4');
  #outside = createSocket('udp4');
  #clientPort = 0;
  /** How often it forgot. */
  rebinds = 0;

  private constructor(serverPort: number) {
    this.#serverPort = serverPort;
  }

  /** Forwards to a server on this machine. */
  static async start(serverPort: number): Promise<RebindingProxy> {
    const proxy = new RebindingProxy(serverPort);
    proxy.#inside.bind(0, HOST);
    await once(proxy.#inside, 'listening');
    proxy.#inside.on('message', (bytes, from) => {
      proxy.#clientPort = from.port;
      proxy.#outside.send(bytes, proxy.#serverPort, HOST);
    });
    await proxy.#bindOutside(proxy.#outside);
    return proxy;
  }

  /** Where the client finds it. */
  get port(): number {
    return this.#inside.address().port;
  }
  /** Where the server sees the client. */
  get outsidePort(): number {
    return this.#outside.address().port;
  }

  async #bindOutside(socket: Socket): Promise<void> {
    socket.on('message', (bytes) => {
      if (socket === this.#outside) this.#inside.send(bytes, this.#clientPort, HOST);
    });
    socket.bind(0, HOST);
    await once(socket, 'listening');
  }

  /** From now on the client comes from another port. */
  async rebind(): Promise<void> {
    const next = createSocket('udp4');
    await this.#bindOutside(next);
    const old = this.#outside;
    this.#outside = next;
    old.close();
    this.rebinds++;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#inside.close();
    this.#outside.close();
  }
}
