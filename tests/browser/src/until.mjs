// Waits for a condition instead of a fixed time: polls it, and reports a timeout with the last result.

/** The default timeout: longer than several reconnect delays of the clients on a loaded machine. */
export const TIMEOUT_MS = 30_000;

/** The interval between two polls. */
const POLL_MS = 25;

/** Returns the first truthy result of the probe. An exception of the probe counts as a falsy result. */
export async function until(what, probe, timeoutMs = TIMEOUT_MS) {
  const deadline = performance.now() + timeoutMs;
  for (let last = ""; ; ) {
    try {
      const result = await probe();
      if (result) {
        return result;
      }
      last = `last result ${JSON.stringify(result)}`;
    } catch (error) {
      last = `last error ${error}`;
    }
    if (performance.now() > deadline) {
      throw new Error(`timed out after ${timeoutMs} ms waiting for ${what}; ${last}`);
    }
    await new Promise((resolve) => {
      setTimeout(resolve, POLL_MS);
    });
  }
}
