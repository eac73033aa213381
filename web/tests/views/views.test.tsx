// @vitest-environment happy-dom
import { type ComponentChild, render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { begin, type Kill } from "../../src/state/kill";
import { NO_REPORT } from "../../src/state/live";
import type { Config, Link } from "../../src/state/model";
import { initial, type State } from "../../src/state/state";
import { Alerts, startCommand } from "../../src/views/alerts";
import { Badge } from "../../src/views/badge";
import { program } from "../../src/views/join";
import { KillPanel } from "../../src/views/kill";
import { Palette } from "../../src/views/palette";
import { Participants } from "../../src/views/participants";
import { QueueStatus } from "../../src/views/queue-status";
import { Tools } from "../../src/views/tools";
import { NO_OUTAGE, report, unresponsive } from "../state/reports";

const CONFIG: Config = {
  ...{ gateway: "ws://127.0.0.1:8001/connection/websocket", port: 8_000, channel: "canvas" },
  ...{ width: 64, height: 64 },
  ...{
    colors: ["#c8342f", "#3166c9"],
    colorNames: ["red", "blue"],
    isKillAllowed: true,
    dedupWindowMs: 120_000,
  },
};

let root: HTMLElement;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  root = document.createElement("div");
  document.body.append(root);
});

afterEach(() => {
  act(() => render(null, root));
  root.remove();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

function text(view: ComponentChild): string {
  act(() => render(view, root));
  return (root.textContent ?? "").replace(/\s+/gu, " ").trim();
}

describe("the badge", () => {
  function badge(link: Link, outage = NO_OUTAGE): string {
    return text(<Badge link={link} outage={outage} reconnectNow={() => undefined} />);
  }

  it("counts down to the next attempt", () => {
    expect(badge({ kind: "reconnecting", attempt: 3, nextAttemptAtMs: 1_002_500, cause: "" })).toBe(
      "Reconnectingattempt 3 in 2.5 sRetry now",
    );
    act(() => {
      vi.advanceTimersByTime(1_000);
    });
    expect(root.textContent).toContain("in 1.5 s");
    expect(badge({ kind: "reconnecting", attempt: 3, nextAttemptAtMs: null, cause: "" })).toBe(
      "Reconnectingattempt 3 in progress",
    );
  });

  it("shows each other state with its meaning", () => {
    expect(badge({ kind: "connecting" })).toBe("Connecting");
    expect(badge({ kind: "connected", sinceMs: 0 })).toBe("Connected");
    expect(badge({ kind: "connected", sinceMs: 0 }, { ...NO_OUTAGE, lastMs: 1_234 })).toBe(
      "Connectedlast outage 1.23 s",
    );
    expect(badge({ kind: "offline", nextAttemptAtMs: 1_005_000 })).toBe(
      "Offlinethe browser reports no network; drawn pixels are queuedRetry now",
    );
    expect(badge({ kind: "offline", nextAttemptAtMs: null })).not.toContain("Retry");
    expect(badge({ kind: "stopped", cause: "invalid token" })).toBe("Stoppedinvalid tokenRetry now");
  });

  it("does not announce the countdown", () => {
    badge({ kind: "reconnecting", attempt: 3, nextAttemptAtMs: 1_002_500, cause: "" });

    expect(root.querySelector("[role=status]")?.textContent).toBe("Reconnecting");
  });
});

describe("the queue status", () => {
  const item = {
    ...{ key: "k", x: 0, y: 0, color: 0, by: "Ada", createdMs: 0, sequence: 0, sentMs: null, lease: null },
  };

  it("shows how many pixels are queued and where they are stored", () => {
    const state = {
      ...initial("Ada", 0),
      queue: [item],
      link: { kind: "offline", nextAttemptAtMs: null } as const,
    };

    expect(text(<QueueStatus state={state} />)).toContain(
      "1 pixel waiting for a connection, stored in this browser",
    );
    expect(text(<QueueStatus state={{ ...state, isPersisted: false }} />)).toContain("not stored: a reload");
    const { key, createdMs, sequence, sentMs, lease } = item;
    const clear = { clear: true, by: "Ada", key, createdMs, sequence, sentMs, lease } as const;
    expect(text(<QueueStatus state={{ ...state, queue: [clear, item] }} />)).toContain(
      "The canvas is cleared when the connection is back; 1 pixel waiting for a connection",
    );
    const connected = { ...state, link: { kind: "connected", sinceMs: 0 } } as const;
    expect(text(<QueueStatus state={{ ...connected, queue: [clear, item] }} />)).toContain(
      "The canvas is being cleared; 1 pixel in flight",
    );
  });

  it("shows why the picture could not be loaded", () => {
    const gap = { ...initial("Ada", 0), pictureError: "demo/picture returned HTTP status 503" };
    const picture = { epoch: "e", offset: 1, pixels: new Uint8Array(0), foreground: new Uint8Array(0) };
    const replica = { ...gap.replica, picture, requiredPosition: { epoch: "e", offset: 2 } };
    const status = (state: State): string | null | undefined => {
      text(<QueueStatus state={state} />);
      return root.querySelector("[role=status]")?.textContent;
    };

    expect(status(gap)).toBe(
      "Loading the picture; the last attempt failed (demo/picture returned HTTP status 503)",
    );
    expect(status({ ...gap, replica })).toMatch(
      /^Reloading the picture after a gap; the last attempt failed/u,
    );
    expect(status({ ...gap, replica, pictureError: null })).toBe("Reloading the picture after a gap");
    expect(status({ ...gap, replica: { ...replica, requiredPosition: null } })).toMatch(/^All pixels/u);
  });
});

describe("the kill panel", () => {
  const one = {
    ...{ name: "painter 1", wasDisconnected: true, hasReconnected: true, hasCaughtUp: true },
    ...{ resumedBefore: 0, lastDowntimeBefore: null },
  };
  const requested: Kill = { kind: "requested", before: report(0), pageOutagesBefore: 0 };
  const finished = (more: object): Kill =>
    ({ ...begin(report(0), 0, 0), kind: "finished", outageMs: 1_200, ...more }) as Kill;

  function panel(kill: Kill, requestKill = () => undefined, current = report(0)): string {
    const live = { ...NO_REPORT, report: current, requestedMs: 1, receivedMs: 1 };
    const state: State = { ...initial("Ada", 0), link: { kind: "connected", sinceMs: 0 }, live, kill };
    return text(<KillPanel state={state} isKillAllowed={true} requestKill={requestKill} />);
  }

  it("shows the downtime of the gateway, that all reconnected, and that nothing was lost", () => {
    expect(panel(finished({ clients: [one, { ...one, name: "painter 2" }] }))).toContain(
      "The gateway was down for 1.20 s. All 2 clients reconnected. 0 acknowledged pixels were lost.",
    );
  });

  it("counts no clients of a demo without any, in a page that was loaded after the kill", () => {
    expect(panel(finished({ clients: [] }))).toContain(
      "was down for 1.20 s. 0 acknowledged pixels were lost.",
    );
  });

  it("names the missing clients and counts the lost and undelivered pixels", () => {
    const missing = { ...one, name: "painter 2", hasReconnected: false };
    const shown = panel(finished({ clients: [one, missing], lost: 1, undelivered: 4 }));

    expect(shown).toContain("1 of 2 clients did not reconnect: painter 2.");
    expect(shown).toContain("1 acknowledged pixel was lost, 4 not delivered yet.");
  });

  it("announces only the result, not the progress", () => {
    const announced = (): string => root.querySelector("[role=status]")?.textContent ?? "missing";
    expect(panel(requested)).toContain("The gateway is being killed");
    expect(announced()).toBe("");
    const status = root.querySelector("[role=status]");
    expect(panel({ ...begin(report(0), 0, 0), undelivered: 3 })).toContain(
      "0 of 1 client reconnected, 3 pixels not delivered yet…",
    );
    expect(announced()).toBe("");
    panel(finished({ clients: [one] }));

    expect(root.querySelector("[role=status]")).toBe(status);
    expect(announced()).toBe(
      "The gateway was down for 1.20 s. All 1 client reconnected. 0 acknowledged pixels were lost.",
    );
    panel({ kind: "rejected", reason: "The gateway is already down.", isTransient: true });
    expect(announced()).toBe("The gateway is already down.");
    expect(root.querySelectorAll("[role=status]")).toHaveLength(1);
  });

  it("explains and shows results without a button when kills are not allowed", () => {
    const live = { ...NO_REPORT, report: report(0) };
    const state: State = { ...initial("Ada", 0), live };

    expect(text(<KillPanel state={state} isKillAllowed={false} requestKill={() => undefined} />)).toMatch(
      /^The gateway is upAll clients .* When it ends, it is restarted, and nothing that it acknowledged is lost\.$/u,
    );
    expect(root.querySelector("button")).toBeNull();
  });

  it("shows that the gateway does not respond, and not in green", () => {
    expect(panel({ kind: "idle" }, undefined, unresponsive())).toContain("The gateway does not respond");
    expect(root.querySelector("h2 .dot")?.className).toBe("dot bad");
  });

  it("does not show the last result while the demo does not respond", () => {
    const live = { ...NO_REPORT, report: report(0), isStale: true };
    const state: State = { ...initial("Ada", 0), live, kill: finished({ clients: [one] }) };

    const panel = <KillPanel state={state} isKillAllowed={true} requestKill={() => undefined} />;
    expect(text(panel)).toBe("The demo does not respondKill the gateway");
  });

  it("requests one kill at a time", () => {
    const requestKill = vi.fn();
    panel(requested, requestKill);
    root.querySelector("button")?.click();
    expect(requestKill).not.toHaveBeenCalled();
    panel({ kind: "idle" }, requestKill);
    root.querySelector("button")?.click();

    expect(requestKill).toHaveBeenCalledOnce();
  });
});

describe("an alert", () => {
  const working: State = { ...initial("Ada", 0), config: CONFIG, live: { ...NO_REPORT, report: report(0) } };
  const stale: State = { ...working, live: { ...working.live, isStale: true } };

  it("says that the demo does not respond, as long as it does not", () => {
    expect(text(<Alerts state={stale} />)).toMatch(
      /^The demo does not respond at this address\. If it was stopped, start it again: make run\./u,
    );
    expect(text(<Alerts state={working} />)).toBe("");
  });

  it("names the demo's own port in the command, or that of the page as long as it is not known", () => {
    vi.stubGlobal("location", { port: "9000" });

    expect(startCommand({ ...CONFIG, port: 8_100 })).toBe("PORT=8100 make run");
    expect(startCommand({ ...CONFIG, port: 8_000 })).toBe("make run");
    expect(startCommand(null)).toBe("PORT=9000 make run");
    vi.stubGlobal("location", { port: "" });
    expect(startCommand(null)).toBe("make run");
  });

  it("says why the page cannot connect to a gateway that is up, and how it can", () => {
    const link: Link = { kind: "reconnecting", attempt: 5, nextAttemptAtMs: null, cause: "transport closed" };
    const live = { ...working.live, upSinceMs: 0, receivedMs: 10_000 };

    expect(text(<Alerts state={{ ...working, link, live }} />)).toMatch(
      /^The gateway is up, but this page cannot connect to it at ws:.*: transport closed\..* ssh -L 8001:127\.0\.0\.1:8001 HOST$/u,
    );
  });
});

describe("the tools", () => {
  const click = (name: string): void => {
    const button = [...root.querySelectorAll("button")].find(({ textContent }) => textContent === name);
    act(() => button?.click());
  };

  it("clear the canvas after a confirmation, and keep the focus", () => {
    const clear = vi.fn();
    text(<Tools isOwnHighlighted={false} toggleOwn={() => undefined} clear={clear} />);
    click("Clear");
    expect(root.textContent).toContain("Clear the canvas for all participants?");
    expect(document.activeElement?.textContent).toBe("Clear it");
    click("Keep it");
    expect([clear.mock.calls.length, document.activeElement?.textContent]).toEqual([0, "Clear"]);
    click("Clear");
    act(() => {
      document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    });
    expect(root.textContent).not.toContain("for all participants");
    click("Clear");
    click("Clear it");

    expect(clear).toHaveBeenCalledOnce();
    expect(document.activeElement?.textContent).toBe("Clear");
  });

  it("highlight the own pixels", () => {
    const toggleOwn = vi.fn();
    text(<Tools isOwnHighlighted={true} toggleOwn={toggleOwn} clear={() => undefined} />);
    expect(root.querySelector("button")?.getAttribute("aria-pressed")).toBe("true");
    click("My pixels");

    expect(toggleOwn).toHaveBeenCalledOnce();
  });
});

it("each colour can be chosen by its name", () => {
  const choose = vi.fn();
  expect(text(<Palette colors={CONFIG.colors} names={CONFIG.colorNames} chosen={0} choose={choose} />)).toBe(
    "Colourredblue",
  );
  const [, blue] = root.querySelectorAll("input");
  blue?.click();

  expect(choose).toHaveBeenCalledWith(1);
});

it("participants are counted, with the user first", () => {
  const participants = new Map(
    Array.from({ length: 20 }, (_, index) => [`${index}`, { client: `${index}`, name: `P${index}` }]),
  );

  const shown = text(<Participants participants={participants} self="7" isCurrent={true} />);
  expect(shown).toMatch(/^Present now 20 clientsP7 \(you\)P0P1/u);
  expect(shown).toContain("and 6 more");
  expect(text(<Participants participants={participants} self={null} isCurrent={false} />)).toContain(
    "Last seen",
  );
});

it("the example program has short lines and contains the URL of this gateway", () => {
  const code = program(CONFIG);

  expect(Math.max(...code.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(92);
  expect(code).toContain(CONFIG.gateway);
});
