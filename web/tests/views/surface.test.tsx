// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Acked, Config, Item } from "../../src/state/model";
import { reduce } from "../../src/state/reduce";
import { loaded } from "../../src/state/replica";
import { initial, type State } from "../../src/state/state";
import { useSurface } from "../../src/views/surface";
import { Mount } from "./mount";

const CONFIG: Config = {
  ...{
    gateway: "ws://here",
    port: 8_000,
    channel: "canvas",
    width: 2,
    height: 2,
    colors: ["#c8342f", "#3166c9"],
    colorNames: ["red", "blue"],
  },
  ...{ isKillAllowed: true, dedupWindowMs: 120_000 },
};

let mount: Mount;
let calls: unknown[][];
let image: ImageData;

/** A 2D context that records its calls; a call that paints is recorded with its colour. */
function context(name: string): unknown {
  const fields = {
    fillStyle: "",
    strokeStyle: "",
    lineWidth: 0,
    imageSmoothingEnabled: true,
    globalAlpha: 1,
  };
  const record = (method: string, ...parameters: unknown[]): unknown => {
    const colors: Record<string, string> = { fillRect: fields.fillStyle, strokeRect: fields.strokeStyle };
    const color = method === "drawImage" ? fields.globalAlpha : colors[method];
    calls.push([name, method, ...(color === undefined ? [] : [color]), ...parameters]);
    if (method !== "createImageData") {
      return undefined;
    }
    image = { data: new Uint8ClampedArray(16) } as unknown as ImageData;
    return image;
  };
  return new Proxy(fields, {
    get: (target, field) => {
      if (field in target) {
        return Reflect.get(target, field);
      }
      return (...parameters: unknown[]) => record(String(field), ...parameters);
    },
  });
}

function Surface({ state }: { state: State }) {
  return <canvas ref={useSurface(state, CONFIG)} />;
}

beforeEach(() => {
  calls = [];
  const page = context("page");
  const source = context("source");
  vi.stubGlobal(
    "OffscreenCanvas",
    class {
      getContext = (): unknown => source;
    },
  );
  vi.stubGlobal("devicePixelRatio", 2);
  vi.stubGlobal(
    "ResizeObserver",
    class {
      readonly #resized: () => void;
      constructor(resized: () => void) {
        this.#resized = resized;
      }
      observe(): void {
        this.#resized();
      }
      disconnect(): void {
        calls.push(["observer", "disconnect"]);
      }
    },
  );
  vi.spyOn(HTMLCanvasElement.prototype, "clientWidth", "get").mockReturnValue(10);
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(page as null);
  mount = new Mount();
});

afterEach(() => {
  mount.remove();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

it("confirmed pixels are painted, acknowledged ones are solid, queued ones are hollow", () => {
  const configured = reduce(initial("Ada", 0), { type: "configured", config: CONFIG, own: null });
  const replica = loaded(configured.replica, {
    epoch: "e",
    offset: 1,
    pixels: Uint8Array.from([0, 255, 255, 1]),
    foreground: Uint8Array.from([1, 0, 0, 0]),
  });
  const pixel = { key: "k", by: "Ada" };
  const acked: Acked = { ...pixel, x: 1, y: 0, color: 1, at: { epoch: "e", offset: 2 } };
  const item: Item = { ...pixel, x: 0, y: 1, color: 0, createdMs: 1, sequence: 1, sentMs: null, lease: null };
  act(() => {
    mount.text(<Surface state={{ ...configured, replica, acked: [acked], queue: [item] }} />);
  });

  expect([...image.data]).toEqual([200, 52, 47, 255, 0, 0, 0, 0, 0, 0, 0, 0, 49, 102, 201, 255]);
  expect([
    mount.element<HTMLCanvasElement>("canvas").width,
    mount.element<HTMLCanvasElement>("canvas").height,
  ]).toEqual([20, 20]);
  expect(calls).toContainEqual(["page", "fillRect", "#3166c9", 10, 0, 10, 10]);
  expect(calls).toContainEqual(["page", "clearRect", 0, 10, 10, 10]);
  expect(calls).toContainEqual(["page", "strokeRect", "#c8342f", 1, 11, 8, 8]);
});

describe("the picture", () => {
  const configured = reduce(initial("Ada", 0), { type: "configured", config: CONFIG, own: null });
  const replica = loaded(configured.replica, {
    ...{ epoch: "e", offset: 1, pixels: Uint8Array.from([0, 1, 255, 255]) },
    foreground: Uint8Array.from([1, 1, 0, 0]),
  });
  const clear = { clear: true, by: "Ada", key: "k" } as const;

  function opacities(state: State): readonly unknown[] {
    act(() => {
      mount.text(<Surface state={state} />);
    });
    return calls.filter(([, method]) => method === "drawImage").map(([, , opacity]) => opacity);
  }

  it("is dimmed while a clear is queued, and hidden once it is acknowledged", () => {
    const item: Item = { ...clear, createdMs: 1, sequence: 1, sentMs: null, lease: null };
    expect(opacities({ ...configured, replica, queue: [item] })).toEqual([0.2]);
    calls = [];

    expect(
      opacities({ ...configured, replica, acked: [{ ...clear, at: { epoch: "e", offset: 2 } }] }),
    ).toEqual([]);
  });

  it("is dimmed except for the own pixels while these are highlighted", () => {
    const own = Uint8Array.from([255, 1, 255, 255]);

    expect(opacities({ ...configured, replica, own, isOwnHighlighted: true })).toEqual([0.2]);
    expect(calls.filter(([, method]) => method === "fillRect")).toEqual([
      ["page", "fillRect", "#3166c9", 10, 0, 10, 10],
    ]);
  });
});

it("the size is no longer observed after the view is removed", () => {
  mount.text(<Surface state={initial("Ada", 0)} />);
  mount.remove();

  expect(calls).toContainEqual(["observer", "disconnect"]);
});
