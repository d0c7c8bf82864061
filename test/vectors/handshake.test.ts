// Every control packet of the recorded connections, read and written again.
import { expect } from 'chai';
import {
  type ControlPacket,
  decodeControlPacket,
  encodeControlPacket,
  MAX_CONTROL_PACKET_BYTES,
} from '../../src/core/wire/control-packets.ts';
import {
  decodeCertificate,
  decodeCryptInfo,
  encodeCertificate,
  encodeCryptInfo,
  type SignedCertificate,
  type SignedCryptInfo,
} from '../../src/core/wire/crypt-messages.ts';
import type { IdentityFields } from '../../src/core/wire/identity-fields.ts';
import { toHex } from '../support/hex.ts';
import { handshakeNames, loadHandshake, type RecordedControlPacket } from './handshake/load.ts';

describe('recorded control packets', () => {
  for (const name of handshakeNames()) {
    it(`of ${name} mean what GNS meant`, () => {
      for (const recorded of loadHandshake(name).packets) {
        if (isTooShort(recorded)) continue;
        expect(describePacket(decode(recorded))).to.deep.equal({ kind: recorded.kind, ...recorded.fields });
      }
    });

    it(`of ${name} are written with the same bytes`, () => {
      for (const recorded of loadHandshake(name).packets) {
        if (isTooShort(recorded)) continue;
        const out = new Uint8Array(MAX_CONTROL_PACKET_BYTES).fill(0xee);
        const length = encodeControlPacket(decode(recorded), out);
        expect(toHex(out.subarray(0, length))).to.equal(toHex(recorded.datagram));
      }
    });

    it(`of ${name} have certificates and keys that are written with the same bytes`, () => {
      for (const recorded of loadHandshake(name).packets) {
        const packet = decodeControlPacket(recorded.datagram, recorded.datagram.length);
        if (packet?.kind !== 'connectRequest' && packet?.kind !== 'connectOk') continue;
        expect(toHex(encodeCertificate(decodeCertificate(packet.cert!.cert)!))).to.equal(toHex(packet.cert!.cert));
        expect(toHex(encodeCryptInfo(decodeCryptInfo(packet.crypt!.info)!))).to.equal(toHex(packet.crypt!.info));
      }
    });
  }
});

/** A NoConnection without ids, which nobody can read. */
function isTooShort({ datagram }: RecordedControlPacket): boolean {
  return datagram.length < 5;
}

function decode({ datagram }: RecordedControlPacket): ControlPacket {
  const packet = decodeControlPacket(datagram, datagram.length);
  if (!packet) throw new Error(`not a control packet: ${toHex(datagram)}`);
  return packet;
}

/** In the terms of the recordings. */
function describePacket(packet: ControlPacket): object {
  switch (packet.kind) {
    case 'challengeRequest':
      return {
        kind: 'ChallengeRequest',
        connection_id: packet.connectionId,
        my_timestamp: String(packet.timestamp),
        protocol_version: packet.protocolVersion,
      };
    case 'challengeReply':
      return {
        kind: 'ChallengeReply',
        connection_id: packet.connectionId,
        challenge: String(packet.challenge),
        your_timestamp: String(packet.echoedTimestamp),
        protocol_version: packet.protocolVersion,
      };
    case 'connectRequest':
      return present({
        kind: 'ConnectRequest',
        client_connection_id: packet.clientConnectionId,
        challenge: String(packet.challenge),
        my_timestamp: packet.timestamp?.toString(),
        ping_est_ms: packet.pingEstimateMs,
        ...describeCredentials(packet.cert, packet.crypt),
        ...describeIdentity(packet.identity, 'legacy_client_steam_id'),
      });
    case 'connectOk':
      return present({
        kind: 'ConnectOK',
        client_connection_id: packet.clientConnectionId,
        server_connection_id: packet.serverConnectionId,
        your_timestamp: packet.echoedTimestamp?.toString(),
        delay_time_usec: packet.delayUs,
        ...describeCredentials(packet.cert, packet.crypt),
        ...describeIdentity(packet.identity, 'legacy_server_steam_id'),
      });
    case 'connectionClosed':
      return present({
        kind: 'ConnectionClosed',
        debug: packet.debug,
        reason_code: packet.reason,
        to_connection_id: packet.toConnectionId || undefined,
        from_connection_id: packet.fromConnectionId || undefined,
      });
    case 'noConnection':
      return present({
        kind: 'NoConnection',
        to_connection_id: packet.toConnectionId || undefined,
        from_connection_id: packet.fromConnectionId || undefined,
      });
  }
}

function describeCredentials(cert: SignedCertificate | undefined, crypt: SignedCryptInfo | undefined): object {
  const certificate = decodeCertificate(cert!.cert)!;
  const info = decodeCryptInfo(crypt!.info)!;
  return {
    cert: present({
      cert: toHex(cert!.cert),
      ca_key_id: cert!.caKeyId?.toString(),
      ca_signature: cert!.caSignature && toHex(cert!.caSignature),
    }),
    crypt: { info: toHex(crypt!.info), signature: toHex(crypt!.signature) },
    cert_decoded: present({
      key_type: certificate.keyType,
      key_data: toHex(certificate.key),
      time_created: certificate.timeCreatedS,
      time_expiry: certificate.timeExpiryS,
      app_ids: certificate.appIds.length > 0 ? certificate.appIds : undefined,
      ...describeIdentity(certificate.identity, 'legacy_steam_id'),
    }),
    crypt_decoded: {
      key_type: info.keyType,
      key_data: toHex(info.key),
      nonce: String(info.nonce),
      protocol_version: info.protocolVersion,
      ciphers: info.ciphers,
    },
  };
}

function describeIdentity(identity: IdentityFields, steamIdName: string): object {
  const legacy = identity.legacyIdentityBinary;
  return present({
    identity_string: identity.identityString,
    legacy_identity_binary:
      legacy &&
      present({
        generic_bytes: legacy.genericBytes && toHex(legacy.genericBytes),
        generic_string: legacy.genericString,
        ipv6_and_port: legacy.ipv6AndPort && toHex(legacy.ipv6AndPort),
        steam_id: legacy.steamId?.toString(),
      }),
    [steamIdName]: identity.legacySteamId?.toString(),
  });
}

function present(fields: Record<string, unknown>): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
