// The time and the processor's time, as the peer reports them.

/** Microseconds of the system's monotonic clock, with nanoseconds behind the point; all processes share it. */
export function monotonicUs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}

/** Microseconds of processor time of the whole process. */
export function cpuUs(): { readonly user: number; readonly system: number; readonly total: number } {
  const { user, system } = process.cpuUsage();
  return { user, system, total: user + system };
}

/** To three decimals: what is shown of microseconds and rates. */
export function round3(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
