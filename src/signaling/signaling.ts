// The side channel by which peers find each other. What it carries is small, opaque to it, and may get lost, be repeated
// or overtake; peers allow for all of that. Spec: 07 §7.1.

/** No signal of ours comes near this; what is longer is dropped by all services here. */
export const MAX_SIGNAL_BYTES = 8_192;

/** A peer's access to a signaling service. */
export interface Signaling {
  /** What the peer is called there, as `Identity` prints it: others write to this name. */
  readonly identity: string;
  /** Told of everything that arrives. `from` is proven only where the service asks for proof. */
  onSignal: ((signal: Uint8Array, from: string) => void) | undefined;
  /** Hands one signal over. False if it certainly will not arrive: there is no connection to the service now. */
  send(to: string, signal: Uint8Array): boolean;
  close(): void;
}
