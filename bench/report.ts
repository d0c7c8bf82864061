// One run as a page: charts drawn here and now, so that the page needs nothing but itself; and the picture for the
// README, made of two of them.

import { type Drawing, heapChart, latencyChart, roundTripChart, scaleChart, throughputChart } from './charts.ts';
import { type LatencyResult, PACE } from './latency.ts';
import type { Run } from './run.ts';

/** Two panels side by side on white, for places where pages are not shown. */
export function headlineSvg(run: Run): string | undefined {
  const bars = run.throughput?.rows.filter(({ size }) => size === 1200) ?? [];
  const scenario = run.latency?.[0];
  if (bars.length === 0 || scenario === undefined) return undefined;
  const [width, height, top] = [980, 400, 46];
  const panel = (x: number, drawing: Drawing) => drawing.outerHTML.replace('<svg ', `<svg x="${x}" y="${top}" `);
  const title = (x: number, text: string) =>
    `<text x="${x}" y="28" font-size="15" font-weight="600" fill="#1c2128">${escapeHtml(text)}</text>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`,
    ' font-family="system-ui, sans-serif" color="#1c2128">',
    '<rect width="100%" height="100%" rx="8" fill="#ffffff"/>',
    title(20, 'Reliable messages of 1200 B, MB/s'),
    title(450, `Time to arrive, ms: ${scenario.scenario.title}`),
    panel(10, throughputChart(bars, 400, 330)),
    panel(440, latencyChart(scenario, 530, 330)),
    '</svg>\n',
  ].join('');
}

export function page(run: Run): string {
  const sections = [
    throughputSection(run),
    roundTripSection(run),
    ...(run.latency ?? []).map(latencySection),
    scaleSection(run),
    steadySection(run),
    microSection(run),
    goalsSection(run),
    machineSection(run),
  ];
  return [
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
    `<title>Benchmark ${run.startedAt}</title><style>${CSS}</style><main>`,
    `<h1>game-networking-sockets, measured</h1>`,
    `<p class="lead">${escapeHtml(run.machine.cpu)}, ${run.machine.cores} cores, Node ${escapeHtml(run.machine.node)}, `,
    `library ${escapeHtml(run.machine.commit)}, ${run.startedAt.slice(0, 16).replace('T', ' ')} UTC. `,
    `${run.quick ? '<b>A quick look: too short to be quoted.</b> ' : ''}All of a section was measured in turns, `,
    'A, B, C, A, B, C …, on the same machine in the same minutes; compare within a section only.</p>',
    ...sections.filter((section) => section !== undefined),
    '</main></html>\n',
  ].join('\n');
}

function section(title: string, text: string, ...content: readonly string[]): string {
  return `<section><h2>${escapeHtml(title)}</h2><p>${text}</p>${content.join('\n')}</section>`;
}

function figure(caption: string, drawing: Drawing): string {
  return `<figure><figcaption>${escapeHtml(caption)}</figcaption>${drawing.outerHTML}</figure>`;
}

function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(String(cell))}</${tag}>`).join('')}</tr>`;
  return `<div class="wide"><table>${line(header, 'th')}${rows.map((row) => line(row, 'td')).join('')}</table></div>`;
}

// ---- throughput

function throughputSection({ throughput }: Run): string | undefined {
  if (throughput === undefined) return undefined;
  const sizes = [...new Set(throughput.rows.map(({ size }) => size))];
  const charts = sizes.map((size) => {
    const rows = throughput.rows.filter((row) => row.size === size);
    return figure(`${size} B, MB/s`, throughputChart(rows, 430, 60 + rows.length * 34));
  });
  const text =
    'Reliable messages over 127.0.0.1, as fast as they go. The dashed line is the <b>floor</b>: UDP sockets of Node and ' +
    'one AES-256-GCM call per packet, with nothing sent again, put in order or looked after. TCP and TLS hand large ' +
    'pieces to the kernel instead of packets; that is where their speed comes from, and between processes of one machine ' +
    'ours are larger, too: <b>ours, 1300 B</b> has datagrams as a network carries them. Thin lines: slowest and fastest round.';
  const details = table(
    [
      '',
      'size B',
      'MB/s',
      'messages/s',
      'µs/packet, sender',
      'receiver',
      'µs/message, sender',
      'receiver',
      'send rate MB/s',
      'rounds',
    ],
    throughput.rows.map((row) => [
      row.name,
      row.size,
      (row.bytesPerSec / 1e6).toFixed(1),
      row.messagesPerSec,
      row.senderUsPerPacket.toFixed(2),
      row.receiverUsPerPacket.toFixed(2),
      row.senderUsPerMessage.toFixed(2),
      row.receiverUsPerMessage.toFixed(2),
      row.sendRateBytesPerSec === undefined ? '' : row.sendRateBytesPerSec / 1e6,
      row.rounds,
    ]),
  );
  const note =
    '<p class="note">µs/packet is processor time of the process per datagram that carries data; for TCP and TLS, which ' +
    'show no packets, per message. Send rate: the configured one that gave the most.</p>';
  return section('Throughput', text, `<div class="row">${charts.join('')}</div>`, details, note);
}

// ---- round trips

function roundTripSection({ roundTrips }: Run): string | undefined {
  if (roundTrips === undefined) return undefined;
  const text = '32 B there and back over 127.0.0.1, one at a time, both processes in JavaScript (but for GNS).';
  const rows = roundTrips.map((row) => [row.name, row.p50, row.p95, row.p99, row.n]);
  const chart = figure('From p50 (dot) to p99 (ring), µs', roundTripChart(roundTrips));
  return section('Round trip', text, chart, table(['', 'p50 µs', 'p95', 'p99', 'pings'], rows));
}

// ---- latency under loss

function latencySection(result: LatencyResult): string {
  const { scenario, method, whyNot, seconds, connections, rows } = result;
  const how =
    method === 'emulated link'
      ? 'All at the same time through the same emulated link between two network namespaces, kernel TCP included.'
      : `In the simulator, ours alone: ${escapeHtml(whyNot ?? '')}.`;
  const text =
    `${PACE.size} B, ${PACE.hz} times a second on ${connections} connections each for ${seconds} s. ${how} ` +
    'The curve tells how long the slowest share of the messages took; further down is better.';
  const ms = (us: number) => (us / 1e3).toFixed(1);
  const details = table(
    ['', 'p50 ms', 'p95', 'p99', 'max', 'sent', 'arrived', 'IP B/s each', 'back'],
    rows.map((row) => [
      row.name,
      ms(row.p50),
      ms(row.p95),
      ms(row.p99),
      ms(row.max),
      row.sent,
      row.n,
      row.bytesPerSec,
      row.returnBytesPerSec,
    ]),
  );
  const chart = figure('Milliseconds from send to receive, by share of messages', latencyChart(result, 900, 420));
  return section(`Latency: ${scenario.title}`, text, chart, details);
}

// ---- connections, steady state, parts

function scaleSection({ scale, handshakes }: Run): string | undefined {
  if (scale === undefined || handshakes === undefined) return undefined;
  const several = scale.filter(({ connections }) => connections >= 100);
  const memory = several.map((row) => `${(row.heapBytesEach / 1024).toFixed(1)} KiB at ${row.connections}`).join(', ');
  const text =
    `One server process. Memory per idle connection: ${memory}. Handshakes: <b>${handshakes.perServerCpuSecond}</b> per ` +
    `second of the server's core (${handshakes.serverUs} µs each, of which the cryptography alone is ` +
    `${handshakes.cryptoAloneUs} µs); ${handshakes.perSecond} per second by the clock with the clients beside it.`;
  const charts = [
    figure('Idle: % of one core', scaleChart(scale, 'idleCpuPercent', '#e4572e')),
    figure('A tick to one of them, µs', scaleChart(scale, 'tickOneUs', '#2f6db5')),
    figure('A tick to all, µs per connection', scaleChart(scale, 'tickAllUsEach', '#35a37a')),
  ];
  const details = table(
    ['connections', 'heap B each', 'resident B each', 'idle CPU %', 'tick to one µs', 'tick to all µs each'],
    scale.map((row) => Object.values(row)),
  );
  return section('Many connections', text, `<div class="row">${charts.join('')}</div>`, details);
}

function steadySection({ steady }: Run): string | undefined {
  if (steady === undefined) return undefined;
  const { pauseMs, heapFloorMiB, seconds } = steady;
  const chart = heapChart(heapFloorMiB, seconds);
  const text =
    `A server that receives and sends ${steady.packetsPerSec} packets/s in all (asked: ${steady.askedPacketsPerSec}) on ` +
    `${steady.connections} connections, for ${seconds} s, at ${steady.cpuPercent} % of a core. A timer of 1 ms fired after ` +
    `${pauseMs.p50} ms (p50), ${pauseMs.p99} ms (p99), <b>${pauseMs.p999} ms</b> (p99.9), ${pauseMs.max} ms (max). ` +
    `Longest garbage collection: ${steady.longestCollectionMs} ms of ${steady.collections}.`;
  return section('Steady state', text, figure('Heap that remains after collections, MiB', chart));
}

function microSection({ micro }: Run): string | undefined {
  if (micro === undefined) return undefined;
  const rows = micro.map((row) => [
    row.name,
    row.ns ?? '',
    row.heapBytes ?? '',
    row.externalBytes ?? '',
    row.ratio === undefined ? '' : `${row.ratio} × ${row.yardstick}`,
  ]);
  const text = 'Time and allocations of one operation. What the heap gets is limited by bench/budget.json.';
  return section('Parts', text, table(['', 'ns', 'heap B', 'external B', 'against'], rows));
}

function goalsSection({ goals, profiles }: Run): string | undefined {
  if (goals === undefined) return undefined;
  const rows = goals.map(({ id, what, value, goal, holds }) => [
    id,
    what,
    value,
    goal,
    holds === undefined ? 'not measured' : holds ? 'yes' : 'no',
  ]);
  const where = (profiles ?? []).map(
    ({ title, lines }) => `<h3>${escapeHtml(title)}</h3><pre>${escapeHtml(lines.join('\n'))}</pre>`,
  );
  const text = 'What this library promises of itself. Where it falls short, profiles below show where the time goes.';
  return section('Goals', text, table(['', 'what', 'measured', 'goal', 'holds'], rows), ...where);
}

function machineSection({ machine, startedAt, elapsedSeconds }: Run): string {
  const rows = Object.entries({ ...machine, startedAt, elapsedSeconds }).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.join(', ') : String(value),
  ]);
  return section('Machine', 'What it was measured on, and what else was going on.', table(['', ''], rows));
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

const CSS = `
:root { color-scheme: light; }
body { margin: 0; background: #f6f7f9; color: #1c2128; font: 15px/1.55 system-ui, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 28px; margin: 12px 0 4px; } h2 { font-size: 20px; margin: 0 0 6px; } h3 { font-size: 15px; }
.lead { color: #4a5361; max-width: 80ch; }
section { background: #fff; border: 1px solid #e3e6ea; border-radius: 10px; padding: 20px 22px; margin: 18px 0; }
section > p { max-width: 86ch; margin: 0 0 12px; color: #3a424e; }
.note { font-size: 13px; color: #5b6573; }
figure { margin: 0 0 14px; } figcaption { font-weight: 600; font-size: 13px; color: #4a5361; margin-bottom: 2px; }
figure svg { max-width: 100%; height: auto; }
.row { display: flex; flex-wrap: wrap; gap: 8px 26px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; width: 100%; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid #eceef1; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; padding-left: 0; } th { color: #5b6573; font-weight: 600; }
pre { background: #f6f7f9; padding: 12px; border-radius: 6px; overflow-x: auto; font-size: 12px; }
`;
