// The charts of the report, as SVG: drawn by Observable Plot into a document that is nobody's screen.

import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { ScaleRow } from './connections.ts';
import { CURVE_PERCENTILES, type LatencyResult } from './latency.ts';
import type { RoundTripRow, ThroughputRow } from './loopback.ts';

const { document } = parseHTML('<!doctype html><body>') as unknown as {
  document: NonNullable<Plot.PlotOptions['document']>;
};

/** One colour per contestant, in all charts: ours warm, everything else cool or grey. */
const COLORS: Readonly<Record<string, string>> = {
  dgram: '#b8bec8',
  'the path (raw dgram)': '#b8bec8',
  floor: '#7d8694',
  'node:net': '#4c9be8',
  'kernel TCP': '#4c9be8',
  'node:tls': '#2f6db5',
  'GNS (C++)': '#35a37a',
  ours: '#e4572e',
  'ours, 1300 B': '#f2a65a',
  'ours, reliable': '#e4572e',
  'ours, unreliable': '#f2a65a',
  'ours, redundant': '#8e2c12',
};
const OTHER_COLOR = '#9b7bc7';
const FONT = { fontFamily: 'system-ui, sans-serif', fontSize: '13px', background: 'none' } as const;
const FRAME = { document, style: FONT } as const;

export type Drawing = { readonly outerHTML: string };
type Named = { readonly name: string };
const colored = ({ name }: Named) => COLORS[name] ?? OTHER_COLOR;

export function throughputChart(rows: readonly ThroughputRow[], width: number, height: number): Drawing {
  const data = rows.map((row) => ({
    name: row.name,
    speed: row.bytesPerSec / 1e6,
    slowest: row.spreadBytesPerSec[0] / 1e6,
    fastest: row.spreadBytesPerSec[1] / 1e6,
  }));
  const floor = data.find(({ name }) => name === 'floor');
  const most = Math.max(...data.map(({ fastest }) => fastest));
  return Plot.plot({
    ...FRAME,
    width,
    height,
    marginLeft: 90,
    marginRight: 52,
    x: { label: null, grid: true, nice: true, domain: [0, most] },
    y: { label: null, domain: data.map(({ name }) => name) },
    marks: [
      Plot.barX(data, {
        x: 'speed',
        y: 'name',
        fill: colored,
        rx: 2,
        insetTop: 3,
        insetBottom: 3,
      }),
      Plot.ruleY(data, { x1: 'slowest', x2: 'fastest', y: 'name', stroke: '#1c2128', strokeOpacity: 0.55 }),
      ...(floor === undefined ? [] : [Plot.ruleX([floor.speed], { stroke: '#1c2128', strokeDasharray: '4,4' })]),
      Plot.text(data, {
        x: 'fastest',
        y: 'name',
        text: (d: { speed: number }) => d.speed.toFixed(1),
        dx: 6,
        textAnchor: 'start',
      }),
    ],
  }) as Drawing;
}

export function roundTripChart(rows: readonly RoundTripRow[]): Drawing {
  const fill = colored;
  return Plot.plot({
    ...FRAME,
    width: 760,
    height: 60 + rows.length * 34,
    marginLeft: 90,
    marginRight: 40,
    x: { type: 'log', label: null, grid: true, nice: true, tickFormat: (us: number) => String(us) },
    y: { label: null, domain: rows.map(({ name }) => name) },
    marks: [
      Plot.link(rows, { x1: 'p50', x2: 'p99', y: 'name', stroke: fill, strokeWidth: 4, strokeOpacity: 0.35 }),
      Plot.dot(rows, { x: 'p50', y: 'name', fill, r: 6 }),
      Plot.dot(rows, { x: 'p99', y: 'name', stroke: fill, strokeWidth: 2, r: 5 }),
    ],
  }) as Drawing;
}

/** Shares on a scale that gives each further nine the same room. */
const nines = (q: number) => -Math.log10(1 - Math.min(q, 0.9995));
const NINE_TICKS: Readonly<Record<string, string>> = {
  0.5: 'half',
  0.9: '90 %',
  0.99: '99 %',
  0.999: '99.9 %',
};

export function latencyChart({ rows }: LatencyResult, width: number, height: number): Drawing {
  const points = rows.flatMap(({ name, curveMs }) =>
    CURVE_PERCENTILES.flatMap((q, i) => (q > 0.999 ? [] : [{ name, at: nines(q), ms: curveMs[i]! }])),
  );
  const most = Math.max(...points.map(({ ms }) => ms));
  const labels = spreadLabels(
    rows.map(({ name, curveMs }) => ({ name, ms: curveMs[CURVE_PERCENTILES.indexOf(0.999)]! })),
    (most * 17) / (height - 60),
  );
  return Plot.plot({
    ...FRAME,
    width,
    height,
    marginLeft: 46,
    marginRight: 190,
    marginBottom: 34,
    x: {
      label: null,
      domain: [0, nines(0.999)],
      ticks: Object.keys(NINE_TICKS).map((q) => nines(Number(q))),
      tickFormat: nineLabel,
    },
    y: { label: null, grid: true, domain: [0, Math.max(most, labels.at(-1)?.y ?? 0)], nice: true },
    marks: [
      Plot.ruleY([0]),
      Plot.line(points, {
        x: 'at',
        y: 'ms',
        z: 'name',
        stroke: colored,
        strokeWidth: 2.2,
      }),
      Plot.text(labels, {
        x: nines(0.999),
        y: 'y',
        text: 'name',
        fill: colored,
        dx: 8,
        textAnchor: 'start',
        fontWeight: 600,
      }),
    ],
  }) as Drawing;
}

function nineLabel(at: number): string {
  return Object.entries(NINE_TICKS).find(([q]) => Math.abs(nines(Number(q)) - at) < 1e-9)?.[1] ?? '';
}

/** Names at the ends of their lines, moved up until none covers another. */
function spreadLabels(ends: readonly { name: string; ms: number }[], leastGap: number): { name: string; y: number }[] {
  const labels = [...ends].sort((a, b) => a.ms - b.ms).map(({ name, ms }) => ({ name, y: ms }));
  for (let i = 1; i < labels.length; i++) labels[i]!.y = Math.max(labels[i]!.y, labels[i - 1]!.y + leastGap);
  return labels;
}

/** One figure of `ScaleRow` against the number of connections. */
export function scaleChart(
  rows: readonly ScaleRow[],
  key: 'idleCpuPercent' | 'tickOneUs' | 'tickAllUsEach',
  color: string,
): Drawing {
  return Plot.plot({
    ...FRAME,
    width: 300,
    height: 220,
    marginLeft: 58,
    marginRight: 28,
    marginBottom: 40,
    x: {
      type: 'log',
      label: 'connections',
      labelAnchor: 'center',
      labelArrow: 'none',
      ticks: rows.map((row) => row.connections),
      tickFormat: (n: number) => n.toLocaleString('en'),
    },
    y: { label: null, grid: true, zero: true, nice: true },
    marks: [
      Plot.ruleY([0]),
      Plot.line(rows.slice(), { x: 'connections', y: key, stroke: color, strokeWidth: 2 }),
      Plot.dot(rows.slice(), { x: 'connections', y: key, fill: color, r: 4 }),
    ],
  }) as Drawing;
}

export function heapChart(floorsMiB: readonly number[], seconds: number): Drawing {
  const points = floorsMiB.map((mib, i) => ({ second: ((i + 1) * seconds) / floorsMiB.length, mib }));
  return Plot.plot({
    ...FRAME,
    width: 760,
    height: 200,
    marginLeft: 50,
    marginBottom: 40,
    x: { label: 'seconds', labelAnchor: 'center', labelArrow: 'none' },
    y: { label: null, grid: true, zero: true, nice: true },
    marks: [Plot.ruleY([0]), Plot.line(points, { x: 'second', y: 'mib', stroke: '#e4572e', strokeWidth: 2 })],
  }) as Drawing;
}
