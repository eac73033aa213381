// What axe, the tester of accessibility, says about a page.

import axe from "axe-core";

/** Below these, axe gives advice. */
const GRAVE = ["serious", "critical"];

/** Grave findings as people read them, and the rules that were put to the test. */
export async function examine(page) {
  await page.evaluate(axe.source);
  const { violations, passes } = await page.evaluate(() => window.axe.run());
  const found = violations
    .filter(({ impact }) => GRAVE.includes(impact))
    .map(
      ({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`,
    );
  return { found, tested: [...passes, ...violations].map(({ id }) => id) };
}
