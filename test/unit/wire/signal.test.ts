import { expect } from 'chai';
import fc from 'fast-check';
import { decodeSignal, EMPTY_SIGNAL, encodeSignal } from '../../../src/core/wire/signal.ts';
import { SEED } from '../../support/seed.ts';

describe('Signals', () => {
  it('keep every field from writing to reading', () => {
    const signal = {
      ...EMPTY_SIGNAL,
      toConnectionId: 7,
      closed: { reason: 1234, debug: 'häh?' },
      isIceEnabled: true,
      fromIdentity: 'str:alice',
      fromConnectionId: 0xfedc_ba98,
      toIdentity: 'str:bob',
      ackedReliable: 0,
      firstReliable: 3,
      reliable: [
        { password: 'abcde', candidate: undefined },
        { password: undefined, candidate: 'candidate:1 0 udp 1 10.0.0.1 5 typ host' },
      ],
    };
    expect(decodeSignal(encodeSignal(signal))).to.deep.equal(signal);
  });

  it('read what is neither credentials nor a candidate as a message without news', () => {
    // first_reliable_msg 1; one reliable message, which is empty.
    const signal = decodeSignal(Uint8Array.of(0x60, 0x01, 0x6a, 0x00));
    expect(signal?.reliable).to.deep.equal([{ password: undefined, candidate: undefined }]);
  });

  it('are refused without an exception if they are none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const signal = decodeSignal(bytes);
        expect(signal === undefined || typeof signal.isIceEnabled === 'boolean').to.equal(true);
      }),
      { seed: SEED },
    );
  });
});
