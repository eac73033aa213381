// Calls again until it succeeds, with growing pauses. For what the page cannot do without.

import { delayMs } from "./backoff";

export async function untilDone<T>(call: () => Promise<T>, onFailure: (reason: string) => void): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    try {
      return await call();
    } catch (error) {
      onFailure(error instanceof Error ? error.message : String(error));
      await pause(delayMs(Math.min(failures, 3), Math.random));
    }
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
