import { RtcError } from './errors.js';

/** What the promise settles with, or a rejection with API_CALL_TIMEOUT when that takes longer. */
export async function inTime<Result>(promise: Promise<Result>, what: string, ms: number): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new RtcError('API_CALL_TIMEOUT', `${what} timeout observed.`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
