// Waits for a state instead of for a time: asks again until it is so, and says what was never seen.

/** A few of the clients' own pauses, on a machine with other work. */
export const PATIENCE_MS = 30_000;

/** Between two looks; what is waited for is a state, so this only bounds how late it is noticed. */
const LOOK_EVERY_MS = 25;

/** What the probe returns once it is truthy. A probe that throws counts as not yet. */
export async function until(what, probe, patienceMs = PATIENCE_MS) {
  const deadline = performance.now() + patienceMs;
  for (let last = ""; ; ) {
    try {
      const seen = await probe();
      if (seen) {
        return seen;
      }
      last = `last ${JSON.stringify(seen)}`;
    } catch (error) {
      last = `last ${error}`;
    }
    if (performance.now() > deadline) {
      throw new Error(`never seen: ${what}; ${last}`);
    }
    await new Promise((resolve) => {
      setTimeout(resolve, LOOK_EVERY_MS);
    });
  }
}
