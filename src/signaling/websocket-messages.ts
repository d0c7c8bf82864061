// What clients and servers of the WebSocket signaling service say to each other: one JSON object per message.

/** From the client. `about` numbers requests; the answer repeats it. */
export type ClientMessage =
  /** Who it is, in answer to the challenge. Without a proof the server has to take its word. */
  | { readonly kind: 'hello'; readonly identity: string; readonly certificate?: string; readonly signature?: string }
  | { readonly kind: 'signal'; readonly to: string; readonly signal: string }
  | { readonly kind: 'create'; readonly about: number }
  /** `isReturn`: it was in there before, and lost the connection. */
  | { readonly kind: 'join'; readonly about: number; readonly code: string; readonly isReturn?: boolean }
  | { readonly kind: 'leave' };

/** From the server. Signals are base64. */
export type ServerMessage =
  | { readonly kind: 'challenge'; readonly challenge: string; readonly needsProof: boolean }
  | { readonly kind: 'welcome'; readonly identity: string }
  | { readonly kind: 'signal'; readonly from: string; readonly signal: string }
  | { readonly kind: 'room'; readonly about: number; readonly code: string; readonly members: readonly string[] }
  | { readonly kind: 'failed'; readonly about: number; readonly why: string }
  | { readonly kind: 'joined' | 'left'; readonly code: string; readonly identity: string };

/** Why the server closed: codes of its own in WebSocket's private range. */
export const CloseCode = {
  /** It goes away; try another one. */
  GoingAway: 1001,
  /** The client said something that makes no sense. */
  Nonsense: 4000,
  /** It is not who it says it is. Coming again is of no use. */
  Refused: 4001,
  /** Somebody else has come under its identity. Coming again would go on for ever. */
  Replaced: 4002,
  /** It did not say who it is in time. */
  TooSlow: 4003,
} as const;

/** Longest message: a signal in base64, and what is around it. */
export const MAX_MESSAGE_BYTES = 16_384;

/** Undefined for what is no JSON object with a `kind`. The fields are for the reader to check. */
export function parseMessage<T extends { readonly kind: string }>(text: string): T | undefined {
  try {
    const message = JSON.parse(text) as T | null;
    return message !== null && typeof message === 'object' && typeof message.kind === 'string' ? message : undefined;
  } catch {
    return undefined;
  }
}
