// Repeats calls until they succeed, with increasing delays, and ends when a signal is aborted.

import { delayMs } from "./backoff";

/** The delay after this number of earlier failures. */
export function retryDelayMs(failures: number): number {
  return delayMs(failures, Math.random);
}

/** Repeats the call until it succeeds. Rejects when the signal is aborted. */
export async function retry<T>(
  call: () => Promise<T>,
  onFailure: (reason: string) => void,
  signal: AbortSignal,
): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    try {
      const result = await call();
      signal.throwIfAborted();
      return result;
    } catch (error) {
      signal.throwIfAborted();
      onFailure(reasonOf(error));
      await sleep(retryDelayMs(failures), signal);
      signal.throwIfAborted();
    }
  }
}

/** Waits; returns early when the signal is aborted. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
    if (signal.aborted) {
      end();
    }
  });
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
