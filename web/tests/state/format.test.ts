import { expect, it } from "vitest";
import { age, colorNames, count, duration, secondsUntil } from "../../src/state/format";
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

it("a colour has the name of its nearest neighbour", () => {
  expect(colorNames(["#ff0000", "#0a0a0a", "#ffffff", "#3166c9"])).toEqual(["red", "black", "white", "blue"]);
});

it("no two colours of a palette have the same name", () => {
  // The palette of the demo.
  const colors = [
    ...["#1d1f24", "#ffffff", "#8a929e", "#d7dbe2", "#c62f3b", "#f2727a", "#e8772e", "#f6c244"],
    ...["#2f8f4e", "#8bcf6a", "#1f7a8c", "#5cc8d7", "#2a5bd7", "#7da2f5", "#7b3fb8", "#d48be0"],
  ];

  const names = colorNames(colors);
  expect(new Set(names).size).toBe(colors.length);
  expect([names[6], names[14]]).toEqual(["orange", "violet"]);
  expect(new Set(colorNames(Array.from({ length: 30 }, (_, index) => `#0000${10 + index}`))).size).toBe(30);
});

it("a fast stroke has no gaps", () => {
  const line = between({ x: 0, y: 0 }, { x: 5, y: -2 });

  expect(line.at(-1)).toEqual({ x: 5, y: -2 });
  expect(line.map(({ x }) => x)).toEqual([1, 2, 3, 4, 5]);
  expect(between({ x: 3, y: 3 }, { x: 3, y: 3 })).toEqual([{ x: 3, y: 3 }]);
});
