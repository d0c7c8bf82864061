// Commands about messages: sending them, and what becomes of received ones.

import { round3 } from './clock.ts';
import { type CommandTable, DONE, type Workshop } from './command-table.ts';
import { type Command, CommandError, parseSwitch } from './line.ts';
import { resultName } from './names.ts';
import { parseSendFlags, takePayload, takeSendOptions } from './payload.ts';
import type { Fields } from './report.ts';
import { type PeerConnection, type Session, Totals, type VerifyMode } from './session.ts';

export const DATA_COMMANDS: CommandTable = {
  send,
  flush: (command, { session }) => {
    const peers = session.match(command.need('id'));
    command.noMore();
    for (const { connection } of peers) connection.flush();
    return DONE;
  },
  sink: (command, { session }) => {
    const isOn = command.onOff();
    const peers = takeTargets(command, session);
    if (peers === 'all') session.sink = isOn;
    else for (const peer of peers) peer.sink = isOn;
    return DONE;
  },
  echo: (command, { session }) => {
    const echo = command.onOff() ? parseSendFlags(command.text('flags', 'none')) : null;
    const peers = takeTargets(command, session);
    if (peers === 'all') session.echo = echo;
    else for (const peer of peers) peer.echo = echo;
    return DONE;
  },
  verify,
  latency,
  counters,
};

/** The connections that `id=` names; all there are and will be without it. */
function takeTargets(command: Command, session: Session): readonly PeerConnection[] | 'all' {
  const id = command.text('id', '');
  command.noMore();
  return id === '' ? 'all' : session.match(id);
}

function send(command: Command, { session }: Workshop): Fields {
  const peers = session.match(command.need('id'));
  const options = takeSendOptions(command);
  const count = command.integer('count', 1);
  const payload = takePayload(command);
  command.noMore();
  const sent: number[] = [];
  let failed = 0;
  let failure: CommandError | undefined;
  for (const peer of peers) {
    for (let i = 0; i < count; i++) {
      try {
        sent.push(peer.send(payload(i), options));
      } catch (error) {
        failed++;
        failure ??= CommandError.from(error);
      }
    }
  }
  if (sent.length === 0 && failure !== undefined) throw failure;
  const result = failure === undefined ? undefined : resultName(failure.result ?? 0);
  return { sent: sent.length, failed, first: sent[0] ?? 0, last: sent.at(-1) ?? 0, result };
}

function verify(command: Command, { session }: Workshop): Fields {
  const isOn = command.words.length === 0 || parseSwitch(command.word(0), 'verify');
  const mode = isOn ? takeVerifyMode(command) : null;
  const peers = takeTargets(command, session);
  session.mismatchEvents = 0;
  if (peers === 'all') session.verify = mode;
  for (const peer of peers === 'all' ? session.connections : peers) {
    if (peers !== 'all') peer.verify = mode;
    peer.verifiedOnLane.clear();
  }
  return DONE;
}

function takeVerifyMode(command: Command): VerifyMode {
  const seed = command.needInteger('pattern');
  const index = command.text('index', 'count');
  if (index !== 'count' && index !== 'msgnum') throw new CommandError('index must be count or msgnum');
  return { seed, byMessageNumber: index === 'msgnum', base: command.integer('base', 0) };
}

function latency(command: Command, { session, inbox }: Workshop): Fields {
  const id = command.text('id', '');
  const isReport = command.word(0).toLowerCase() === 'report';
  const isOn = isReport || command.onOff();
  const clock = command.text('clock', inbox.latencyClock);
  if (clock !== 'mono' && clock !== 'real') throw new CommandError('clock must be mono or real');
  const mustReset = !isReport || command.flag('reset', false);
  command.noMore();
  inbox.latencyClock = clock;
  if (!isReport) {
    if (id === '') session.latency = isOn;
    else for (const peer of session.match(id)) peer.latency = isOn;
  }
  for (const [conn, log] of inbox.latencies) {
    if (id !== '' && conn !== id) continue;
    if (isReport || !isOn) session.report.event('latency', { conn, ...log.fields });
    if (mustReset) inbox.latencies.delete(conn);
  }
  return DONE;
}

function counters(command: Command, { session }: Workshop): Fields {
  const mustReset = command.flag('reset', false);
  const peers = takeTargets(command, session);
  const shown = peers === 'all' ? session.connections : peers;
  const totals = new Totals();
  if (peers === 'all') totals.add(session.gone);
  for (const peer of shown) totals.add(peer.totals);
  const received = shown.filter(({ firstReceivedUs }) => firstReceivedUs > 0);
  const firstUs = Math.min(...received.map(({ firstReceivedUs }) => firstReceivedUs));
  const spanUs = received.length === 0 ? 0 : Math.max(...received.map((peer) => peer.lastReceivedUs)) - firstUs;
  const fields = {
    conns: shown.length,
    rx_msgs: totals.receivedMessages,
    rx_bytes: totals.receivedBytes,
    tx_msgs: totals.sentMessages,
    tx_bytes: totals.sentBytes,
    verified: totals.verified,
    mismatches: totals.mismatches,
    echo_failed: session.echoFailures,
    rx_span_us: round3(spanUs),
    rx_mb_per_s: spanUs > 0 ? round3(totals.receivedBytes / spanUs) : undefined,
  };
  if (mustReset) {
    if (peers === 'all') session.gone = new Totals();
    for (const peer of shown) peer.resetTotals();
    session.echoFailures = 0;
  }
  return fields;
}
