// @vitest-environment happy-dom
import { type ComponentChild, render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { begin, type Kill } from "../../src/state/kill";
import type { Config, Link, Outage, Report } from "../../src/state/model";
import { initial, type State } from "../../src/state/state";
import { Badge } from "../../src/views/badge";
import { program } from "../../src/views/join";
import { KillPanel } from "../../src/views/kill";
import { Palette } from "../../src/views/palette";
import { Participants } from "../../src/views/participants";
import { QueueStatus } from "../../src/views/queue-status";

const NO_OUTAGE: Outage = { sinceMs: null, lastMs: null, count: 0 };
const CONFIG: Config = {
  ...{ gateway: "ws://127.0.0.1:8001/connection/websocket", channel: "canvas", width: 64, height: 64 },
  ...{ colors: ["#c8342f", "#3166c9"], isKillAllowed: true, dedupWindowMs: 120_000 },
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
    expect(badge({ kind: "offline" })).toBe("Offlineno network; drawn pixels are queued");
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
    const state = { ...initial("Ada", 0), queue: [item], link: { kind: "offline" } as const };

    expect(text(<QueueStatus state={state} />)).toContain(
      "1 pixel waiting for a connection, stored in this browser",
    );
    expect(text(<QueueStatus state={{ ...state, isPersisted: false }} />)).toContain("not stored: a reload");
  });

  it("shows why the picture could not be loaded", () => {
    const gap = { ...initial("Ada", 0), pictureError: "demo/picture returned HTTP status 503" };
    const picture = { epoch: "e", offset: 1, pixels: new Uint8Array(0) };
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
  const report: Report = {
    ...{
      nowMs: 0,
      gateway: { state: "up", kills: 0, downSinceMs: null, lastOutageMs: null },
      connections: 1,
    },
    ...{
      messagesPerSecond: 0,
      resumes: 0,
      undelivered: 0,
      lost: 0,
      acked: 0,
      duplicated: 0,
      disconnects: [],
      clients: [],
    },
  };
  const finished = (more: object): Kill =>
    ({ ...begin(report, 0, 0), kind: "finished", outageMs: 1_200, ...more }) as Kill;
  const one = {
    name: "painter 1",
    wasDisconnected: true,
    hasReconnected: true,
    downtimeMs: 830,
    resumedBefore: 0,
    lastDowntimeBefore: null,
  };

  function panel(kill: Kill, outage = NO_OUTAGE, requestKill = () => undefined): string {
    return text(<KillPanel kill={kill} outage={outage} report={report} requestKill={requestKill} />);
  }

  it("shows how long each client was down, that all reconnected, and that nothing was lost", () => {
    const shown = panel(finished({ clients: [one, { ...one, name: "painter 2" }] }), {
      sinceMs: null,
      lastMs: 900,
      count: 1,
    });

    expect(shown).toContain(
      "The gateway was down for 1.20 s. All 2 clients reconnected. 0 acknowledged pixels were lost.",
    );
    expect(shown).toContain("painter 1830 ms");
    expect(shown).toContain("this page900 ms");
  });

  it("names the missing clients and counts the lost and undelivered pixels", () => {
    const shown = panel(
      finished({
        clients: [one, { ...one, name: "painter 2", hasReconnected: false }],
        lost: 1,
        undelivered: 4,
      }),
    );

    expect(shown).toContain("1 of 2 clients did not reconnect: painter 2.");
    expect(shown).toContain("1 acknowledged pixel was lost, 4 not delivered yet.");
  });

  it("announces only the result: neither the progress nor the running durations", () => {
    const announced = (): string => root.querySelector("[role=status]")?.textContent ?? "missing";
    const outage = { sinceMs: 999_000, lastMs: null, count: 1 };
    expect(panel({ kind: "requested", before: report, outagesBefore: 0 }, outage)).toContain("Killing…");
    expect(announced()).toBe("");
    const status = root.querySelector("[role=status]");
    expect(panel(begin(report, 0, 0), outage)).toContain("0 of 0 clients reconnected");
    expect(announced()).toBe("");
    expect(root.querySelector(".downtimes")?.textContent).toBe("this page1.00 s");
    act(() => {
      vi.advanceTimersByTime(1_000);
    });
    expect(root.querySelector(".downtimes")?.textContent).toBe("this page2.00 s");
    panel(finished({ clients: [one] }), outage);

    expect(root.querySelector("[role=status]")).toBe(status);
    expect(announced()).toBe(
      "The gateway was down for 1.20 s. All 1 client reconnected. 0 acknowledged pixels were lost.",
    );
    panel({ kind: "rejected", reason: "The gateway is already down." });
    expect(announced()).toBe("The gateway is already down.");
    expect(root.querySelectorAll("[role=status]")).toHaveLength(1);
  });

  it("requests one kill at a time", () => {
    const requestKill = vi.fn();
    panel({ kind: "requested", before: report, outagesBefore: 0 }, NO_OUTAGE, requestKill);
    root.querySelector("button")?.click();
    expect(requestKill).not.toHaveBeenCalled();
    panel({ kind: "idle" }, NO_OUTAGE, requestKill);
    root.querySelector("button")?.click();

    expect(requestKill).toHaveBeenCalledOnce();
  });
});

it("each colour can be chosen by its name", () => {
  const choose = vi.fn();
  expect(text(<Palette colors={CONFIG.colors} chosen={0} choose={choose} />)).toBe("Colourredblue");
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

it("the example program has ten lines and contains the URL of this gateway", () => {
  const code = program(CONFIG);

  expect(code.split("\n")).toHaveLength(10);
  expect(code).toContain(CONFIG.gateway);
});
