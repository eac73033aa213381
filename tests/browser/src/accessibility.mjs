// Runs axe, an accessibility checker, on a page.

import axe from "axe-core";

/** The impacts that count as violations. */
const IMPACTS = ["serious", "critical"];

/** Returns the serious violations as text, and the ids of all rules that were checked. */
export async function runAxe(page) {
  await page.evaluate(axe.source);
  const { violations, passes } = await page.evaluate(() => window.axe.run());
  const serious = violations
    .filter(({ impact }) => IMPACTS.includes(impact))
    .map(
      ({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`,
    );
  return { violations: serious, checked: [...passes, ...violations].map(({ id }) => id) };
}
