// Arithmetic on measurements, and how a run of many contestants is arranged so that their figures can be compared.

/** Microseconds. Percentiles are nearest rank: the value at position ceil(q n) of the sorted list. */
export interface Distribution {
  readonly n: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

export function percentile(sorted: readonly number[], q: number): number {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

export function distributionOf(values: readonly number[]): Distribution {
  const sorted = [...values].sort((a, b) => a - b);
  return {
    n: sorted.length,
    p50: percentile(sorted, 0.5),
    p95: percentile(sorted, 0.95),
    p99: percentile(sorted, 0.99),
    max: sorted.at(-1) ?? Number.NaN,
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The median of one field over several samples. */
export function medianOf<T>(samples: readonly T[], field: (sample: T) => number): number {
  return median(samples.map(field));
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * A, B, C, A, B, C …: whatever else the machine does meanwhile meets all of them alike. A sample that fails is told and
 * left out; a contestant that always fails has none.
 */
export async function interleave<C extends { readonly name: string }, T>(
  contestants: readonly C[],
  rounds: number,
  sample: (contestant: C) => Promise<T>,
): Promise<Map<string, T[]>> {
  const samples = new Map<string, T[]>(contestants.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const contestant of contestants) {
      try {
        samples.get(contestant.name)!.push(await sample(contestant));
      } catch (error) {
        console.log(`    ${contestant.name}: ${String(error).slice(0, 300)}`);
      }
    }
  }
  return samples;
}

/** A table for the terminal, columns aligned; the first is text. */
export function printTable(header: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
  const cells = [header, ...rows].map((row) => row.map(String));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  for (const row of cells) {
    console.log(
      `  ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')}`,
    );
  }
}

export function rounded(value: number, digits = 1): number {
  return Number(value.toFixed(digits));
}
