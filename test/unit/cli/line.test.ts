// Command lines of the peer, and the lines it answers with.

import { expect } from 'chai';
import { CommandError, parseInteger, parseLine } from '../../../src/cli/peer/line.ts';
import { parseSendFlags, takePayload } from '../../../src/cli/peer/payload.ts';
import { toJson } from '../../../src/cli/peer/report.ts';

describe('a command line', () => {
  it('is a name, words and values, separated by blanks', () => {
    const command = parseLine('  Config get\tSendRateMin  id=L.1 \r')!;
    expect(command.name).to.equal('config');
    expect(command.words).to.deep.equal(['get', 'SendRateMin']);
    expect(command.find('id')).to.equal('L.1');
  });

  it('may be empty or a comment', () => {
    for (const line of ['', '  \t', '# text', '#send id=x']) expect(parseLine(line), line).to.equal(undefined);
  });

  it('keeps equals signs of a value', () => {
    expect(parseLine('send base64=AA==')!.find('base64')).to.equal('AA==');
  });

  it('reads a value in double quotes as a JSON string', () => {
    const text = 'a "b" \\ ü\n\u{1f600} =';
    const command = parseLine(`send text=${JSON.stringify(text)} id=C`)!;
    expect(command.find('text')).to.equal(text);
    expect(command.find('id')).to.equal('C');
  });

  it('takes name=value as a name and a word', () => {
    expect(parseLine('tick=1.5')!.words).to.deep.equal(['1.5']);
  });

  it('is refused when a quote does not end', () => {
    expect(() => parseLine('send text="abc\\"')).to.throw(CommandError, "'text'");
  });

  it('knows which parameters nobody asked for', () => {
    const command = parseLine('close id=C reson=5')!;
    command.find('id');
    expect(() => command.noMore()).to.throw(CommandError, "'reson'");
    expect(() => command.noMore()).not.to.throw();
  });
});

describe('a number on a command line', () => {
  it('is decimal or hexadecimal', () => {
    expect([parseInteger('-12', 'n'), parseInteger('0x7fffFFFF', 'n')]).to.deep.equal([-12, 0x7fff_ffff]);
  });

  it('is nothing else', () => {
    for (const text of ['', ' 1', '1.5', '0x', 'ten', '1e3'])
      expect(() => parseInteger(text, 'n'), text).to.throw(CommandError, 'n:');
  });
});

describe('send flags', () => {
  it('are words or GNS numbers', () => {
    const nodelay = { reliable: false, noNagle: true, noDelay: true, lane: 0 };
    expect(parseSendFlags('unreliable,NoDelay')).to.deep.equal(nodelay);
    expect(parseSendFlags('5')).to.deep.equal(nodelay);
    expect(parseSendFlags('reliable', 2)).to.deep.equal({ reliable: true, noNagle: false, noDelay: false, lane: 2 });
  });

  it('are refused by name when unknown', () => {
    expect(() => parseSendFlags('reliable,fast')).to.throw(CommandError, "'fast'");
  });
});

describe('a payload', () => {
  const hexOf = (line: string, index = 0) => Buffer.from(takePayload(parseLine(line)!)(index)).toString('hex');

  it('is given as text, hex, base64, pattern or size', () => {
    expect(hexOf('send text=hü')).to.equal('68c3bc');
    expect(hexOf('send hex=00Ff')).to.equal('00ff');
    expect(hexOf('send base64=AAEC')).to.equal('000102');
    expect(hexOf('send pattern=1 size=4')).to.equal('21200400');
    expect(hexOf('send size=3')).to.equal('000000');
  });

  it('is another for each index of a pattern', () => {
    expect(hexOf('send pattern=1 size=8 base=2', 3)).to.equal(hexOf('send pattern=6 size=8'));
  });

  it('is given once', () => {
    for (const line of ['send', 'send text=a hex=00', 'send pattern=1']) {
      expect(() => hexOf(line), line).to.throw(CommandError);
    }
  });
});

describe('a report', () => {
  it('writes 64-bit integers as numbers and leaves out what is undefined', () => {
    const report = { a: 9_223_372_036_854_775_807n, b: undefined, c: [1, null, 'x"'], d: { e: true }, f: Number.NaN };
    expect(toJson(report)).to.equal('{"a":9223372036854775807,"c":[1,null,"x\\""],"d":{"e":true},"f":null}');
  });
});
