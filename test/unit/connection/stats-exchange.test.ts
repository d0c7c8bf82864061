// When statistics are told. Spec: 04 §4.10 "When sent".
import { expect } from 'chai';
import { StatsExchange, StatsMark } from '../../../src/core/connection/stats-exchange.ts';

const S = 1_000_000;
const START_US = 5 * S;
const BOTH = StatsMark.Instantaneous | StatsMark.Lifetime;

function started(): StatsExchange {
  const exchange = new StatsExchange();
  exchange.start(START_US, 10, 10);
  return exchange;
}

describe('StatsExchange', () => {
  it('lets the newest ride along after 20 s, and demands a packet after 30 s', () => {
    const exchange = started();
    expect(exchange.dueUs()).to.equal(START_US + 30 * S);
    expect(exchange.ready(START_US + 20 * S - 1, 1000, 1000)).to.equal(0);
    expect(exchange.ready(START_US + 20 * S, 1000, 1000)).to.equal(StatsMark.Instantaneous);
  });

  it('tells the totals too after 120 s', () => {
    expect(started().ready(START_US + 120 * S, 1000, 1000)).to.equal(BOTH);
  });

  it('counts traffic in either direction', () => {
    expect(started().ready(START_US + 21 * S, 10 + 8, 10)).to.equal(StatsMark.Instantaneous);
    expect(started().ready(START_US + 21 * S, 10, 10 + 8)).to.equal(StatsMark.Instantaneous);
  });

  it('begins anew where there was too little traffic', () => {
    const exchange = started();
    expect(exchange.ready(START_US + 21 * S, 10 + 7, 10)).to.equal(0);
    expect(exchange.dueUs()).to.equal(START_US + 51 * S);
  });

  it('adds traffic up for the totals, however long that takes', () => {
    const exchange = started();
    expect(exchange.ready(START_US + 120 * S, 10 + 60, 10) & StatsMark.Lifetime).to.equal(0);
    expect(exchange.ready(START_US + 240 * S, 10 + 120, 10) & StatsMark.Lifetime).to.equal(StatsMark.Lifetime);
  });

  it('tells nothing more while the peer has not acknowledged the last', () => {
    const exchange = started();
    exchange.onSent(StatsMark.Instantaneous);
    expect(exchange.ready(START_US + 200 * S, 1000, 1000)).to.equal(0);
    expect(exchange.dueUs()).to.equal(Number.POSITIVE_INFINITY);
  });

  it('tells it again when it was lost', () => {
    const exchange = started();
    exchange.onSent(StatsMark.Instantaneous);
    exchange.onLost(StatsMark.Instantaneous);
    expect(exchange.ready(START_US + 21 * S, 1000, 1000)).to.equal(StatsMark.Instantaneous);
  });

  it('begins anew with what arrived', () => {
    const exchange = started();
    exchange.onSent(BOTH);
    exchange.onAcked(BOTH, START_US + 121 * S, 1000, 1000);
    expect(exchange.dueUs()).to.equal(START_US + 151 * S);
    expect(exchange.ready(START_US + 142 * S, 1100, 1000)).to.equal(StatsMark.Instantaneous);
    expect(exchange.ready(START_US + 241 * S, 1101, 1000)).to.equal(BOTH);
  });

  it('keeps what the peer told last', () => {
    const exchange = started();
    expect(exchange.remoteInstantaneous).to.equal(undefined);
    const instantaneous = {
      sentPacketsPerSecX10: 1,
      sentBytesPerSec: 2,
      receivedPacketsPerSecX10: 3,
      receivedBytesPerSec: 4,
      pingMs: 5,
      droppedPercent: 6,
      weirdPercent: 7,
      peakJitterUs: 8,
    };
    exchange.onReceived({ flags: 2, instantaneous, lifetime: undefined });
    exchange.onReceived({ flags: 2, instantaneous: undefined, lifetime: undefined });
    expect(exchange.remoteInstantaneous).to.equal(instantaneous);
  });
});
