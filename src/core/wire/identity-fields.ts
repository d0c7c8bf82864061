// Where an identity stands in a message: as text, and twice more for peers of old. Certificates, ConnectRequest and
// ConnectOK have the same three fields. Spec: "Control messages" (1.3), "Identity strings" (1.13).
import { invariant } from '../base/errors.ts';
import { Identity, isSteamIdSerializable, type LegacyIdentity } from '../base/identity.ts';
import type { Certificate, ConnectOk, ConnectRequest } from './generated/messages_pb.ts';
import { optional } from './protobuf.ts';

/** Each is undefined if it is absent, which is not the same as empty. */
export interface IdentityFields {
  readonly identityString: string | undefined;
  readonly legacyIdentityBinary: LegacyIdentity | undefined;
  readonly legacySteamId: bigint | undefined;
}

export const NO_IDENTITY_FIELDS: IdentityFields = {
  identityString: undefined,
  legacyIdentityBinary: undefined,
  legacySteamId: undefined,
};

/**
 * The first field present decides: text, legacy binary, Steam id. Undefined if there is none; a field that does not
 * parse is an error and does not fall through to the next.
 */
export function readIdentity(fields: IdentityFields): Identity | undefined | 'malformed' {
  const { identityString, legacyIdentityBinary, legacySteamId } = fields;
  if (identityString !== undefined) return isIntact(identityString) ? parse(identityString) : 'malformed';
  if (legacyIdentityBinary !== undefined) {
    if (!isIntact(legacyIdentityBinary.genericString ?? '')) return 'malformed';
    return Identity.fromLegacy(legacyIdentityBinary) ?? 'malformed';
  }
  if (legacySteamId !== undefined) {
    return isSteamIdSerializable(legacySteamId) ? Identity.steamId(legacySteamId) : 'malformed';
  }
  return undefined;
}

/** All fields that `identity` has a form for. The legacy binary is written even if it is empty, as the reference does. */
export function writeIdentity(identity: Identity): IdentityFields {
  invariant(identity.isValid, 'an identity that is written is valid');
  const legacy = identity.toLegacy();
  return { identityString: identity.toString(), legacyIdentityBinary: legacy, legacySteamId: legacy.steamId };
}

/** What ConnectRequest and ConnectOK carry: only the Steam id if the certificate beside it names the identity. */
export function writeHandshakeIdentity(identity: Identity, certificateHasIdentity: boolean): IdentityFields {
  const fields = writeIdentity(identity);
  return certificateHasIdentity ? { ...NO_IDENTITY_FIELDS, legacySteamId: fields.legacySteamId } : fields;
}

/** Takes the fields out of a received message. */
export function identityFieldsOf(message: Certificate | ConnectRequest | ConnectOk): IdentityFields {
  const legacy = message.legacyIdentityBinary;
  return {
    identityString: optional(message, 'identityString'),
    legacyIdentityBinary: legacy && {
      genericBytes: optional(legacy, 'genericBytes'),
      genericString: optional(legacy, 'genericString'),
      ipv6AndPort: optional(legacy, 'ipv6AndPort'),
      steamId: optional(legacy, 'steamId'),
    },
    legacySteamId: optional(message, 'legacySteamId'),
  };
}

function parse(text: string): Identity | 'malformed' {
  return Identity.parse(text) ?? 'malformed';
}

/** Bytes that are no UTF-8 arrive as U+FFFD: two different identities would become the same one. */
function isIntact(text: string): boolean {
  return !text.includes('\ufffd');
}
