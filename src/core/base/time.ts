// Time is a number of microseconds on the platform's monotonic clock (exact for 285 years).

/** A deadline that never comes. */
export const NEVER = Number.POSITIVE_INFINITY;

/** A moment before all others: "has not happened yet". */
export const LONG_AGO = Number.NEGATIVE_INFINITY;

export const US_PER_MS = 1_000;
export const US_PER_SECOND = 1_000_000;
