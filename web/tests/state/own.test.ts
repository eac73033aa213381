import { expect, it } from "vitest";
import { noOwnPixels, visibleOwn, withOwn } from "../../src/state/own";
import { emptyReplica, loaded } from "../../src/state/replica";

const SIZE = { width: 2, height: 2 };

function replica(pixels: readonly number[], foreground: readonly number[]) {
  const picture = { pixels: Uint8Array.from(pixels), foreground: Uint8Array.from(foreground) };
  return loaded(emptyReplica(SIZE), { epoch: "e", offset: 1, ...picture });
}

it("own pixels are those that are still in the picture", () => {
  let own = noOwnPixels(SIZE);
  for (const [x, y, color] of [
    [0, 0, 3],
    [1, 0, 4],
    [0, 1, 5],
  ] as const) {
    own = withOwn(own, { x, y, color, by: "Ada" }, SIZE);
  }

  // The second cell was painted by another user, and the third by a painter after a clear.
  expect(visibleOwn(own, replica([3, 7, 5, 3], [1, 1, 0, 1]))).toEqual([0]);
  expect(visibleOwn(own, emptyReplica(SIZE))).toEqual([]);
  expect(
    visibleOwn(withOwn(own, { clear: true, by: "Ada" }, SIZE), replica([3, 4, 5, 3], [1, 1, 1, 1])),
  ).toEqual([]);
});
