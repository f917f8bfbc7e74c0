const FIRST_MS = 500;
const LONGEST_MS = 10_000;

/**
 * How long to wait before an attempt, in milliseconds. The first (0) is made at once; then the time doubles up to 10 s.
 * From half of it to all of it, by chance (`random`: 0 to 1), so that those who lost one gateway do not come in step.
 */
export function backOffMs(attempt: number, random: number): number {
  if (attempt === 0) return 0;
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** (attempt - 1)) * (0.5 + random / 2);
}
