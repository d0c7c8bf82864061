// Takes what a connection received: counts, checks, echoes and reports it, as the switches say.

import type { IncomingMessage, PollGroup } from '../../index.ts';
import { monotonicUs } from './clock.ts';
import { type LatencyClock, LatencyLog, RATE_HEADER_BYTES, RATE_MAGIC } from './latency.ts';
import { CommandError } from './line.ts';
import { resultName } from './names.ts';
import { findMismatch } from './pattern.ts';
import { flagsText, payloadFields } from './payload.ts';
import { PING_MAGIC } from './ping-task.ts';
import type { PeerConnection, Session, VerifyMode } from './session.ts';
import type { TaskList } from './tasks.ts';

/** How many failures of a kind are reported one by one. */
const MAX_FAILURE_EVENTS = 50;
const BATCH_MESSAGES = 256;

export class Inbox {
  latencyClock: LatencyClock = 'mono';
  /** By connection id. */
  readonly latencies = new Map<string, LatencyLog>();
  readonly #session: Session;
  readonly #tasks: TaskList;

  constructor(session: Session, tasks: TaskList) {
    this.#session = session;
    this.#tasks = tasks;
  }

  drain(peer: PeerConnection): void {
    for (;;) {
      const messages = peer.connection.receiveMessages(BATCH_MESSAGES);
      for (const message of messages) this.#take(peer, message);
      if (messages.length < BATCH_MESSAGES) return;
    }
  }

  drainGroup(group: PollGroup): void {
    for (;;) {
      const received = group.receiveMessages(BATCH_MESSAGES);
      for (const { connection, message } of received) {
        const peer = this.#session.find(`#${connection.id}`);
        if (peer !== undefined) this.#take(peer, message);
      }
      if (received.length < BATCH_MESSAGES) return;
    }
  }

  #take(peer: PeerConnection, message: IncomingMessage): void {
    const session = this.#session;
    const { data } = message;
    const nowUs = monotonicUs();
    peer.totals.receivedMessages++;
    peer.totals.receivedBytes += data.length;
    if (peer.firstReceivedUs === 0) peer.firstReceivedUs = nowUs;
    peer.lastReceivedUs = nowUs;

    const magic = data.length < 4 ? 0 : data[0]! | (data[1]! << 8) | (data[2]! << 16) | (data[3]! << 24);
    if (magic === PING_MAGIC && this.#tasks.handlePing(peer, data, nowUs)) return;
    const isTimed = magic === RATE_MAGIC && data.length >= RATE_HEADER_BYTES && (peer.latency ?? session.latency);
    if (isTimed) this.#logLatency(peer, message);
    const verify = peer.verify === undefined ? session.verify : peer.verify;
    if (verify !== null) this.#verify(peer, message, verify);
    const echo = peer.echo === undefined ? session.echo : peer.echo;
    if (echo !== null) this.#echo(peer, message, echo.noNagle ?? false, echo.noDelay ?? false, echo.reliable ?? false);
    if (isTimed || (peer.sink ?? session.sink)) return;
    session.report.event('msg', {
      conn: peer.id,
      size: data.length,
      flags: flagsText(message),
      lane: message.lane,
      msgnum: message.messageNumber,
      ...payloadFields(data, this.#session.hexMax),
    });
  }

  #logLatency(peer: PeerConnection, message: IncomingMessage): void {
    let log = this.latencies.get(peer.id);
    if (log === undefined) {
      log = new LatencyLog();
      this.latencies.set(peer.id, log);
    }
    log.add(message, this.latencyClock, this.#session.instance.nowUs());
  }

  #verify(peer: PeerConnection, message: IncomingMessage, mode: VerifyMode): void {
    const { data, lane, messageNumber } = message;
    const before = peer.verifiedOnLane.get(lane) ?? 0;
    peer.verifiedOnLane.set(lane, before + 1);
    const index = mode.base + (mode.byMessageNumber ? messageNumber - 1 : before);
    peer.totals.verified++;
    const offset = findMismatch(mode.seed, index, data);
    if (offset < 0) return;
    peer.totals.mismatches++;
    if (++this.#session.mismatchEvents > MAX_FAILURE_EVENTS) return;
    this.#session.report.event('mismatch', {
      conn: peer.id,
      lane,
      msgnum: messageNumber,
      index,
      size: data.length,
      offset,
      flags: flagsText(message),
      ...payloadFields(data, this.#session.hexMax),
    });
  }

  /** With the message's own reliability, and what was added. */
  #echo(peer: PeerConnection, message: IncomingMessage, noNagle: boolean, noDelay: boolean, reliable: boolean): void {
    try {
      if (message.lane >= peer.laneCount) peer.configureLanes(Array.from({ length: message.lane + 1 }, () => ({})));
      peer.send(message.data, { reliable: message.reliable || reliable, noNagle, noDelay, lane: message.lane });
    } catch (error) {
      if (++this.#session.echoFailures > MAX_FAILURE_EVENTS) return;
      const result = resultName(CommandError.from(error).result ?? 0);
      this.#session.report.event('error', { conn: peer.id, message: 'echo could not be sent', result });
    }
  }
}
