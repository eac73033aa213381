// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { PageActions } from "../../src/feed/feed";
import type { Config } from "../../src/state/model";
import { initial } from "../../src/state/state";
import { createStore, type Store } from "../../src/state/store";
import { App } from "../../src/views/app";
import { Join } from "../../src/views/join";
import { NameField } from "../../src/views/name";
import { Notices } from "../../src/views/notices";
import { Mount } from "./mount";

const CONFIG: Config = {
  ...{
    gateway: "ws://here",
    port: 8_000,
    channel: "canvas",
    width: 64,
    height: 64,
    colors: ["#c8342f"],
    colorNames: ["red"],
  },
  ...{ isKillAllowed: true, dedupWindowMs: 120_000 },
};

let mount: Mount;

beforeEach(() => {
  vi.useFakeTimers();
  mount = new Mount();
});

afterEach(() => {
  mount.remove();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("the page", () => {
  let store: Store;
  let actions: PageActions;

  beforeEach(() => {
    vi.stubGlobal("OffscreenCanvas", class {});
    store = createStore(initial("Ada", 0));
    actions = {
      ...{
        currentState: store.get,
        paint: vi.fn(),
        rename: vi.fn(),
        chooseColor: vi.fn(),
        moveCursor: vi.fn(),
      },
      ...{ closeNotice: vi.fn(), reconnectNow: vi.fn(), kill: vi.fn(), clear: vi.fn(), toggleOwn: vi.fn() },
    };
  });

  it("shows why it cannot start, and the canvas once it is configured", () => {
    expect(mount.text(<App store={store} actions={actions} />)).toContain("Loading the canvas…");
    const text = (): string => mount.root.textContent ?? "";
    const dispatch = (...changes: Parameters<Store["dispatch"]>[]): void => {
      act(() => {
        for (const [change] of changes) {
          store.dispatch(change);
        }
        vi.advanceTimersByTime(100);
      });
    };

    dispatch([{ type: "startFailed", reason: "timeout" }]);
    expect(text()).toContain("does not respond (timeout)");
    dispatch([{ type: "configured", config: CONFIG, own: null }]);
    expect(text()).toContain("Loading the picture");
    expect(mount.element(".board").getAttribute("aria-label")).toBe("Canvas of 64 by 64 pixels");
    mount.element<HTMLButtonElement>(".palette input").click();
    expect(actions.chooseColor).not.toHaveBeenCalled();
  });

  it("renders many changes once per frame", () => {
    mount.text(<App store={store} actions={actions} />);
    const frame = vi.spyOn(globalThis, "requestAnimationFrame");
    for (const name of ["B", "C", "D"]) {
      store.dispatch({ type: "nameChanged", name });
    }

    expect(frame).toHaveBeenCalledOnce();
  });
});

describe("the name", () => {
  it("changes once when the field is left, and not without a change", () => {
    const rename = vi.fn();
    mount.text(<NameField name="Ada" rename={rename} />);
    const input = mount.element<HTMLInputElement>("input");
    input.dispatchEvent(new Event("change", { bubbles: true }));
    expect(rename).not.toHaveBeenCalled();
    input.value = "Grace";
    input.dispatchEvent(new Event("change", { bubbles: true }));

    expect(rename).toHaveBeenCalledExactlyOnceWith("Grace");
    // A longer name is cut when it is accepted, with a message.
    expect(input.maxLength).toBe(-1);
  });

  it("is left on Enter", () => {
    mount.text(<NameField name="Ada" rename={() => undefined} />);
    const blur = vi.spyOn(mount.element<HTMLInputElement>("input"), "blur");
    const submit = new Event("submit", { bubbles: true, cancelable: true });
    mount.element("form").dispatchEvent(submit);

    expect([submit.defaultPrevented, blur.mock.calls.length]).toEqual([true, 1]);
  });
});

it("a notice is announced and can be closed", () => {
  const close = vi.fn();
  const text = mount.text(
    <Notices notices={[{ id: 7, text: "The queue is full.", tone: "bad" }]} close={close} />,
  );
  mount.element("button").click();

  expect(text).toContain("The queue is full.");
  expect(mount.element("[role=log]").getAttribute("aria-live")).toBe("polite");
  expect(close).toHaveBeenCalledExactlyOnceWith(7);
});

it("the text about the example program names a kill only if kills are allowed", () => {
  expect(mount.text(<Join config={CONFIG} />)).toContain("Kill the gateway: it prints");
  expect(mount.text(<Join config={{ ...CONFIG, isKillAllowed: false }} />)).toContain(
    "When the gateway is restarted, it prints",
  );
});

describe("the copy button", () => {
  function stubClipboard(clipboard: unknown): void {
    vi.spyOn(navigator, "clipboard", "get").mockReturnValue(clipboard as Clipboard);
  }

  async function click(): Promise<void> {
    await act(async () => {
      mount.element("button").click();
      await vi.advanceTimersByTimeAsync(0);
    });
  }

  it("confirms the copy for two seconds", async () => {
    const writeText = vi.fn().mockResolvedValue(undefined);
    stubClipboard({ writeText });
    mount.text(<Join config={CONFIG} />);
    await click();
    expect(mount.element("button").textContent).toBe("Copied");
    act(() => {
      vi.advanceTimersByTime(2_000);
    });

    expect(mount.element("button").textContent).toBe("Copy the program");
    expect(mount.element("[role=status]").textContent).toBe("");
    expect(writeText).toHaveBeenCalledExactlyOnceWith(mount.element("pre").textContent);
  });

  it("shows an error when the browser denies the copy or provides no clipboard", async () => {
    for (const clipboard of [
      undefined,
      { writeText: vi.fn().mockRejectedValue(new DOMException("denied")) },
    ]) {
      stubClipboard(clipboard);
      mount.text(<Join config={CONFIG} />);
      await click();

      expect(mount.element("button").textContent).toBe("Copy the program");
      expect(mount.element("[role=status]").textContent).toContain("does not allow copying here");
      mount.remove();
      mount = new Mount();
    }
  });

  it("removes the error after a copy that succeeds", async () => {
    stubClipboard(undefined);
    mount.text(<Join config={CONFIG} />);
    await click();
    stubClipboard({ writeText: vi.fn().mockResolvedValue(undefined) });
    await click();

    expect(mount.element("[role=status]").textContent).toBe("");
  });
});
