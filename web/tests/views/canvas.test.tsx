// @vitest-environment happy-dom
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { PageActions } from "../../src/feed/feed";
import type { Cell, Config } from "../../src/state/model";
import { reduce } from "../../src/state/reduce";
import { initial, type State } from "../../src/state/state";
import { CanvasView } from "../../src/views/canvas";

const CONFIG: Config = {
  ...{
    gateway: "ws://here",
    port: 8_000,
    channel: "canvas",
    width: 64,
    height: 64,
    colors: ["#c8342f", "#3166c9"],
    colorNames: ["red", "blue"],
  },
  ...{ isKillAllowed: true, dedupWindowMs: 120_000 },
};

let root: HTMLElement;
let state: State;
let painted: (readonly Cell[])[];

const actions: PageActions = {
  currentState: () => state,
  paint: (cells) => painted.push(cells),
  moveCursor: (cell) => {
    state = reduce(state, { type: "cursorMoved", cell });
  },
  chooseColor: (color) => {
    state = reduce(state, { type: "colorChosen", color });
  },
  rename: () => undefined,
  closeNotice: () => undefined,
  reconnectNow: () => undefined,
  kill: () => undefined,
  clear: () => undefined,
  toggleOwn: () => undefined,
};

function board(): HTMLElement {
  const found = root.querySelector<HTMLElement>(".board");
  if (found === null) {
    throw new Error("no board");
  }
  return found;
}

function press(...keys: readonly string[]): void {
  for (const key of keys) {
    act(() => {
      board().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    });
  }
}

function point(type: string, x: number, y: number, pointerId = 1): void {
  const at = { clientX: x * 10 + 5, clientY: y * 10 + 5 };
  board().dispatchEvent(new PointerEvent(type, { ...at, pointerId, button: 0, bubbles: true }));
}

beforeEach(() => {
  vi.stubGlobal("OffscreenCanvas", class {});
  state = reduce(initial("Ada", 0), { type: "configured", config: CONFIG, own: null });
  painted = [];
  root = document.createElement("div");
  document.body.append(root);
  act(() => render(<CanvasView state={state} config={CONFIG} actions={actions} />, root));
  board().getBoundingClientRect = () => new DOMRect(0, 0, 640, 640);
  board().setPointerCapture = () => undefined;
});

afterEach(() => {
  act(() => render(null, root));
  root.remove();
  vi.unstubAllGlobals();
});

it("keys that arrive faster than frames use the current cursor", () => {
  press("ArrowRight", "ArrowDown", "Enter", "ArrowLeft", " ");

  expect(painted).toEqual([[{ x: 33, y: 33 }], [{ x: 32, y: 33 }]]);
});

it("keys change the colour, wrap around, and are announced", () => {
  press("[", "]", "]");
  expect(state.color).toBe(1);
  press("Enter");

  expect(root.querySelector("[role=status]")?.textContent).toBe("Column 33, row 33 painted blue");
});

it("the cursor stays on the canvas, and other keys are left to the browser", () => {
  press(...Array.from({ length: 40 }, () => "ArrowUp"), "Tab", "a");

  expect(state.cursor).toEqual({ x: 32, y: 0 });
  expect(painted).toEqual([]);
});

it("a fast drag paints a line without gaps, and a second finger paints nothing", () => {
  point("pointerdown", 10, 10);
  point("pointerdown", 40, 40, 2);
  point("pointerup", 40, 40, 2);
  point("pointermove", 13, 11);
  point("pointermove", 50, 50, 2);
  point("pointerup", 13, 11);
  point("pointermove", 20, 20);

  expect(painted.flat().map(({ x, y }) => [x, y])).toEqual([
    [10, 10],
    [11, 10],
    [12, 11],
    [13, 11],
  ]);
});
