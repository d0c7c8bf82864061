// Percentiles of what was measured, by nearest rank.

import { round3 } from './clock.ts';
import type { Fields } from './report.ts';

/** The value at position ceil(q n) of the sorted list, and so on; only `n` when there is none. */
export function distribution(values: readonly number[]): Fields {
  if (values.length === 0) return { n: 0 };
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => round3(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!);
  let sum = 0;
  for (const value of sorted) sum += value;
  return {
    n: sorted.length,
    min: at(0),
    p50: at(0.5),
    p95: at(0.95),
    p99: at(0.99),
    max: at(1),
    mean: round3(sum / sorted.length),
  };
}
