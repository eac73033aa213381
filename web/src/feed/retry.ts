// Repeats a call until it succeeds, with increasing delays. For what the page requires to start.

import { delayMs } from "./backoff";

export async function retry<T>(call: () => Promise<T>, onFailure: (reason: string) => void): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    try {
      return await call();
    } catch (error) {
      onFailure(error instanceof Error ? error.message : String(error));
      await sleep(delayMs(Math.min(failures, 3), Math.random));
    }
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
