import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Follow, Picture, Placed } from "../../src/state/follow";
import {
  BLANK,
  colorAt,
  loaded,
  nothing,
  published,
  reaches,
  subscribed,
  WAITING_MAX,
} from "../../src/state/follow";

const SIZE = { width: 4, height: 4 };

function picture(offset: number, epoch = "e", pixels = new Uint8Array(16).fill(BLANK)): Picture {
  return { epoch, offset, pixels };
}

function at(offset: number, color = offset % 16, x = 0, y = 0): Placed {
  return { offset, pixel: { x, y, color, by: "a" } };
}

function whole(offset: number): Follow {
  return loaded(nothing(SIZE), picture(offset));
}

describe("a picture that follows its channel", () => {
  it("applies what comes behind its position, in order", () => {
    const follow = [at(6, 1), at(7, 2, 3, 3)].reduce(published, whole(5));

    expect(colorAt(follow, 0, 0)).toBe(1);
    expect(colorAt(follow, 3, 3)).toBe(2);
    expect(follow.picture?.offset).toBe(7);
  });

  it("drops what it holds already", () => {
    const follow = published(whole(5), at(5, 9));

    expect(follow).toEqual(whole(5));
  });

  it("moves on over what is no pixel", () => {
    const follow = published(whole(5), { offset: 6, pixel: null });

    expect(follow.picture?.offset).toBe(6);
    expect(follow.needed).toBeNull();
  });

  it("asks for a new picture when a publication is missing", () => {
    const follow = published(whole(5), at(7));

    expect(follow.needed).toEqual({ epoch: "e", offset: 7 });
    expect(reaches(follow, { epoch: "e", offset: 5 })).toBe(false);
  });
});

describe("a gap", () => {
  const gap = subscribed(whole(5), { epoch: "e", offset: 20 }, false);

  it("is none when the subscription recovered", () => {
    expect(subscribed(whole(5), { epoch: "e", offset: 5 }, true)).toEqual(whole(5));
  });

  it("is none when the picture is where the subscription starts", () => {
    expect(subscribed(whole(5), { epoch: "e", offset: 5 }, false).needed).toBeNull();
  });

  it("is closed by a picture at least as new as the start of the subscription, and no other", () => {
    expect(loaded(gap, picture(19)).needed).not.toBeNull();
    expect(loaded(gap, picture(25, "another")).needed).not.toBeNull();
    expect(loaded(gap, picture(20)).needed).toBeNull();
  });

  it("keeps what arrives meanwhile, without what the picture holds", () => {
    const follow = loaded([at(21, 1), at(22, 2), at(23, 3)].reduce(published, gap), picture(22));

    expect(follow.picture?.offset).toBe(23);
    expect(colorAt(follow, 0, 0)).toBe(3);
    expect(follow.reloads).toBe(1);
  });

  it("demands a newer picture when more arrives than may wait", () => {
    const many = Array.from({ length: WAITING_MAX + 10 }, (_, index) => at(21 + index));
    const follow = many.reduce(published, gap);

    expect(follow.waiting).toHaveLength(WAITING_MAX);
    expect(follow.needed?.offset).toBe(30);
    expect(loaded(follow, picture(29)).needed).not.toBeNull();
    expect(loaded(follow, picture(30)).picture?.offset).toBe(20 + WAITING_MAX + 10);
  });

  it("starts anew with another epoch, whatever waited", () => {
    const follow = subscribed(published(gap, at(21)), { epoch: "f", offset: 3 }, false);

    expect(follow.waiting).toEqual([]);
    expect(loaded(follow, picture(40, "e")).needed).not.toBeNull();
    expect(loaded(follow, picture(3, "f")).needed).toBeNull();
  });

  it("survives a reconnect that recovers while the picture is awaited", () => {
    const follow = subscribed(published(gap, at(21, 4)), { epoch: "e", offset: 21 }, true);

    expect(loaded(follow, picture(20)).picture?.offset).toBe(21);
  });
});

type Step =
  | { readonly kind: "publish" | "drop"; readonly color: number; readonly cell: number }
  | { readonly kind: "resubscribe" }
  | { readonly kind: "load"; readonly lag: number };

const drawn = { color: fc.nat(15), cell: fc.nat(15) };
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constantFrom("publish" as const, "drop" as const), ...drawn }),
    fc.record({ kind: fc.constant("resubscribe" as const) }),
    fc.record({ kind: fc.constant("load" as const), lag: fc.nat(6) }),
  ),
  { maxLength: 60 },
);

/** What a server's history and a page's luck look like: any publication may be lost, any picture may be old. */
class World {
  readonly history: Picture[] = [picture(0)];
  follow = whole(0);

  do(step: Step): void {
    switch (step.kind) {
      case "publish":
      case "drop": {
        const placed = this.#commit(step.color, step.cell);
        this.follow = step.kind === "publish" ? published(this.follow, placed) : this.follow;
        break;
      }
      case "resubscribe":
        this.follow = subscribed(this.follow, { epoch: "e", offset: this.#top().offset }, false);
        break;
      case "load":
        this.follow = loaded(this.follow, this.history.at(-1 - step.lag) ?? picture(0));
        break;
    }
  }

  #top(): Picture {
    return this.history.at(-1) ?? picture(0);
  }

  #commit(color: number, cell: number): Placed {
    const top = this.#top();
    const pixels = top.pixels.slice();
    pixels[cell] = color;
    this.history.push({ ...top, offset: top.offset + 1, pixels });
    return at(top.offset + 1, color, cell % 4, Math.floor(cell / 4));
  }
}

describe("whatever the order of pictures, losses and publications", () => {
  it("never shows a picture with a hole", () => {
    fc.assert(
      fc.property(steps, (all) => {
        const world = new World();
        for (const step of all) {
          world.do(step);
          const shown = world.follow.picture;
          expect(shown?.pixels).toEqual(world.history[shown?.offset ?? 0]?.pixels);
        }
      }),
    );
  });
});
