import { expect, it } from "vitest";
import { age, count, duration, secondsUntil } from "../../src/state/format";
import { between } from "../../src/state/line";

it("a number always has its unit", () => {
  expect([duration(0), duration(830.4), duration(1_234), duration(12_340), duration(600_000)]).toEqual([
    ...["0 ms", "830 ms", "1.23 s", "12.3 s", "10 min"],
  ]);
  expect([age(400), age(61_000), age(600_000)]).toEqual(["0 s ago", "61 s ago", "10 min ago"]);
  expect([count(1, "pixel"), count(1_200, "pixel")]).toEqual(["1 pixel", "1,200 pixels"]);
});

it("a countdown does not go below zero", () => {
  expect(secondsUntil(2_450, 1_000)).toBe("1.4");
  expect(secondsUntil(1_000, 5_000)).toBe("0.0");
});

it("a fast stroke has no gaps", () => {
  const line = between({ x: 0, y: 0 }, { x: 5, y: -2 });

  expect(line.at(-1)).toEqual({ x: 5, y: -2 });
  expect(line.map(({ x }) => x)).toEqual([1, 2, 3, 4, 5]);
  expect(between({ x: 3, y: 3 }, { x: 3, y: 3 })).toEqual([{ x: 3, y: 3 }]);
});
