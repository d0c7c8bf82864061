// What a chat takes and shows.

import { expect } from 'chai';
import { parseAddress } from '../../../src/cli/chat/chat.ts';
import { MAX_LINE_BYTES, nickOf, printable, readLine, writeLine } from '../../../src/cli/chat/text.ts';
import { UsageError } from '../../../src/cli/usage.ts';

describe('a received line', () => {
  it('loses what could move the cursor, colour the terminal or turn the text', () => {
    expect(printable('a\x1b[31mb\r\n\x07\x9b2J\u202ec\u2066d')).to.equal('a[31mb2Jcd');
  });

  it('keeps letters of all kinds', () => {
    expect(printable('é ß 你好 \u{1f600}')).to.equal('é ß 你好 \u{1f600}');
  });

  it('is cut when it is too long', () => {
    expect(readLine(new Uint8Array(MAX_LINE_BYTES + 1).fill(0x61))).to.have.length(MAX_LINE_BYTES);
  });
});

describe('a line to be sent', () => {
  it('is refused when it is too long', () => {
    expect(writeLine('a'.repeat(MAX_LINE_BYTES))).to.have.length(MAX_LINE_BYTES);
    expect(writeLine('ü'.repeat(MAX_LINE_BYTES))).to.equal(undefined);
  });
});

describe('/nick', () => {
  it('gives a name of limited length', () => {
    expect(nickOf('/nick  bob the great ')).to.equal('bob the great');
    expect(nickOf(`/nick ${'x'.repeat(99)}`)).to.have.length(32);
  });

  it('gives none in other lines', () => {
    for (const line of ['/nick', '/nick  ', '/nickname x', 'say /nick x']) expect(nickOf(line)).to.equal(undefined);
  });
});

describe('an address on the command line', () => {
  it('is host and port, and may lack one of them', () => {
    const cases = [
      ['127.0.0.1:5', '127.0.0.1', 5],
      ['[::1]:5', '::1', 5],
      ['[::1]', '::1', 27_020],
      ['example.org', 'example.org', 27_020],
      ['*:5', '::', 5],
      [':5', '::', 5],
      ['5', '::', 5],
    ] as const;
    for (const [text, host, port] of cases) expect(parseAddress(text, '--x'), text).to.deep.equal({ host, port });
  });

  it('is refused with the name of the option otherwise', () => {
    for (const text of ['', '1:2:3', 'a:99999', '[::1', 'a:b']) {
      expect(() => parseAddress(text, '--listen'), text).to.throw(UsageError, '--listen');
    }
  });
});
