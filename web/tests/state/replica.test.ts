import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Picture, Publication, Replica } from "../../src/state/replica";
import {
  BLANK,
  BUFFERED_MAX,
  colorAt,
  emptyReplica,
  hasReached,
  isForeground,
  loaded,
  published,
  subscribed,
} from "../../src/state/replica";

const SIZE = { width: 4, height: 4 };

function picture(offset: number, epoch = "e", pixels = new Uint8Array(16).fill(BLANK)): Picture {
  return { epoch, offset, pixels, foreground: new Uint8Array(16) };
}

function at(offset: number, color = offset % 16, x = 0, y = 0): Publication {
  return { offset, stroke: { x, y, color, by: "a", isBackground: false } };
}

function current(offset: number): Replica {
  return loaded(emptyReplica(SIZE), picture(offset));
}

describe("a picture that is replicated from its channel", () => {
  it("applies publications after its position, in order", () => {
    const replica = [at(6, 1), at(7, 2, 3, 3)].reduce(published, current(5));

    expect(colorAt(replica, 0, 0)).toBe(1);
    expect(colorAt(replica, 3, 3)).toBe(2);
    expect(replica.picture?.offset).toBe(7);
  });

  it("drops what it already contains", () => {
    const replica = published(current(5), at(5, 9));

    expect(replica).toEqual(current(5));
  });

  it("advances over a publication that is not a pixel", () => {
    const replica = published(current(5), { offset: 6, stroke: null });

    expect(replica.picture?.offset).toBe(6);
    expect(replica.requiredPosition).toBeNull();
  });

  it("requires a new picture when a publication is missing", () => {
    const replica = published(current(5), at(7));

    expect(replica.requiredPosition).toEqual({ epoch: "e", offset: 7 });
    expect(hasReached(replica, { epoch: "e", offset: 5 })).toBe(false);
  });
});

describe("a pixel in the background", () => {
  const painter = (offset: number, color: number): Publication => ({
    offset,
    stroke: { x: 0, y: 0, color, by: "painter 1", isBackground: true },
  });

  it("never replaces one of a user, in any order", () => {
    const before = [painter(6, 1), at(7, 2)].reduce(published, current(5));
    const after = [at(6, 2), painter(7, 1)].reduce(published, current(5));

    expect([colorAt(before, 0, 0), colorAt(after, 0, 0)]).toEqual([2, 2]);
    expect(after.picture?.offset).toBe(7);
  });

  it("replaces another one, and is not of a user", () => {
    const replica = [painter(6, 1), painter(7, 3)].reduce(published, current(5));

    expect([colorAt(replica, 0, 0), isForeground(replica, 0, 0)]).toEqual([3, false]);
    expect(isForeground(published(replica, at(8, 3)), 0, 0)).toBe(true);
  });
});

describe("a clear", () => {
  const clear = (offset: number): Publication => ({ offset, stroke: { clear: true, by: "a" } });

  it("removes all earlier pixels once, and none of the later ones", () => {
    const replica = [at(6, 1), clear(7), at(8, 2, 3, 3), clear(7)].reduce(published, current(5));

    expect([...(replica.picture?.pixels ?? [])].filter((color) => color !== BLANK)).toEqual([2]);
    expect([...(replica.picture?.foreground ?? [])].filter((one) => one === 1)).toHaveLength(1);
  });

  it("is applied after a gap, unless the new picture contains it", () => {
    const gap = subscribed(current(5), { epoch: "e", offset: 20 }, false);
    const buffered = [clear(21), at(22, 4)].reduce(published, gap);

    expect(colorAt(loaded(buffered, picture(20)), 0, 0)).toBe(4);
    const withPixel = picture(21, "e", new Uint8Array(16).fill(9));
    expect(colorAt(loaded(buffered, withPixel), 1, 0)).toBe(9);
  });
});

describe("a gap", () => {
  const gap = subscribed(current(5), { epoch: "e", offset: 20 }, false);

  it("does not exist when the subscription recovered", () => {
    expect(subscribed(current(5), { epoch: "e", offset: 5 }, true)).toEqual(current(5));
  });

  it("does not exist when the picture is at the position of the subscription", () => {
    expect(subscribed(current(5), { epoch: "e", offset: 5 }, false).requiredPosition).toBeNull();
  });

  it("is closed only by a picture at least as new as the start of the subscription", () => {
    expect(loaded(gap, picture(19)).requiredPosition).not.toBeNull();
    expect(loaded(gap, picture(25, "another")).requiredPosition).not.toBeNull();
    expect(loaded(gap, picture(20)).requiredPosition).toBeNull();
  });

  it("buffers what arrives in the meantime, except what the picture contains", () => {
    const replica = loaded([at(21, 1), at(22, 2), at(23, 3)].reduce(published, gap), picture(22));

    expect(replica.picture?.offset).toBe(23);
    expect(colorAt(replica, 0, 0)).toBe(3);
    expect(replica.reloads).toBe(1);
  });

  it("requires a newer picture when more arrives than is buffered", () => {
    const many = Array.from({ length: BUFFERED_MAX + 10 }, (_, index) => at(21 + index));
    const replica = many.reduce(published, gap);

    expect(replica.buffered).toHaveLength(BUFFERED_MAX);
    expect(replica.requiredPosition?.offset).toBe(30);
    expect(loaded(replica, picture(29)).requiredPosition).not.toBeNull();
    expect(loaded(replica, picture(30)).picture?.offset).toBe(20 + BUFFERED_MAX + 10);
  });

  it("starts again with another epoch, and discards the buffer", () => {
    const replica = subscribed(published(gap, at(21)), { epoch: "f", offset: 3 }, false);

    expect(replica.buffered).toEqual([]);
    expect(loaded(replica, picture(40, "e")).requiredPosition).not.toBeNull();
    expect(loaded(replica, picture(3, "f")).requiredPosition).toBeNull();
  });

  it("survives a reconnect that recovers while the picture is required", () => {
    const replica = subscribed(published(gap, at(21, 4)), { epoch: "e", offset: 21 }, true);

    expect(loaded(replica, picture(20)).picture?.offset).toBe(21);
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

/** A server's history and a page: any publication may be lost, and any picture may be outdated. */
class Simulation {
  readonly history: Picture[] = [picture(0)];
  replica = current(0);

  do(step: Step): void {
    switch (step.kind) {
      case "publish":
      case "drop": {
        const publication = this.#commit(step.color, step.cell);
        this.replica = step.kind === "publish" ? published(this.replica, publication) : this.replica;
        break;
      }
      case "resubscribe":
        this.replica = subscribed(this.replica, { epoch: "e", offset: this.#highWatermark().offset }, false);
        break;
      case "load":
        this.replica = loaded(this.replica, this.history.at(-1 - step.lag) ?? picture(0));
        break;
    }
  }

  #highWatermark(): Picture {
    return this.history.at(-1) ?? picture(0);
  }

  #commit(color: number, cell: number): Publication {
    const newest = this.#highWatermark();
    const pixels = newest.pixels.slice();
    pixels[cell] = color;
    this.history.push({ ...newest, offset: newest.offset + 1, pixels });
    return at(newest.offset + 1, color, cell % 4, Math.floor(cell / 4));
  }
}

describe("for every order of pictures, losses and publications", () => {
  it("never shows a picture with a gap", () => {
    fc.assert(
      fc.property(steps, (all) => {
        const simulation = new Simulation();
        for (const step of all) {
          simulation.do(step);
          const shown = simulation.replica.picture;
          expect(shown?.pixels).toEqual(simulation.history[shown?.offset ?? 0]?.pixels);
        }
      }),
    );
  });
});
