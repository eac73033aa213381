// @vitest-environment happy-dom
import { type ComponentChild, render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { begin, type Kill } from "../../src/state/kill";
import type { Config, Link, Outage, Report } from "../../src/state/model";
import { initial } from "../../src/state/state";
import { Badge } from "../../src/views/badge";
import { program } from "../../src/views/join";
import { KillBox } from "../../src/views/kill";
import { Palette } from "../../src/views/palette";
import { People } from "../../src/views/people";
import { Waiting } from "../../src/views/waiting";

const NEVER_OUT: Outage = { sinceMs: null, lastMs: null, count: 0 };
const CONFIG: Config = {
  ...{ gateway: "ws://127.0.0.1:8001/connection/websocket", channel: "canvas", width: 64, height: 64 },
  ...{ colors: ["#c8342f", "#3166c9"], kill: true, dedupeWindowMs: 120_000 },
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
  function badge(link: Link, outage = NEVER_OUT): string {
    return text(<Badge link={link} outage={outage} tryNow={() => undefined} />);
  }

  it("counts the next try down", () => {
    expect(badge({ kind: "reconnecting", attempt: 3, nextTryMs: 1_002_500, cause: "" })).toBe(
      "Reconnectingtry 3 in 2.5 sTry now",
    );
    act(() => {
      vi.advanceTimersByTime(1_000);
    });
    expect(root.textContent).toContain("in 1.5 s");
    expect(badge({ kind: "reconnecting", attempt: 3, nextTryMs: null, cause: "" })).toBe(
      "Reconnectingtry 3 now",
    );
  });

  it("says for each other state what it is and what it means", () => {
    expect(badge({ kind: "connecting" })).toBe("Connecting");
    expect(badge({ kind: "connected", sinceMs: 0 })).toBe("Connected");
    expect(badge({ kind: "connected", sinceMs: 0 }, { ...NEVER_OUT, lastMs: 1_234 })).toBe(
      "Connectedwas out 1.23 s",
    );
    expect(badge({ kind: "offline" })).toBe("Offlineno network; drawing is kept");
    expect(badge({ kind: "stopped", cause: "invalid token" })).toBe("Stoppedinvalid tokenTry now");
  });

  it("does not read the countdown aloud", () => {
    badge({ kind: "reconnecting", attempt: 3, nextTryMs: 1_002_500, cause: "" });

    expect(root.querySelector("[role=status]")?.textContent).toBe("Reconnecting");
  });
});

describe("what waits", () => {
  const item = {
    ...{ key: "k", x: 0, y: 0, color: 0, by: "Ada", madeMs: 0, turn: 0, sentMs: null, claim: null },
  };

  it("is said with where it is kept", () => {
    const state = { ...initial("Ada", 0), queue: [item], link: { kind: "offline" } as const };

    expect(text(<Waiting state={state} />)).toContain(
      "1 pixel waiting for the connection, kept in this browser",
    );
    expect(text(<Waiting state={{ ...state, isKept: false }} />)).toContain("keeps nothing over a reload");
  });
});

describe("the kill box", () => {
  const report: Report = {
    ...{
      nowMs: 0,
      gateway: { state: "up", kills: 0, downSinceMs: null, lastOutageMs: null },
      connections: 1,
    },
    ...{
      messagesPerSecond: 0,
      resumes: 0,
      owed: 0,
      lost: 0,
      acked: 0,
      duplicated: 0,
      disconnects: [],
      clients: [],
    },
  };
  const over = (more: object): Kill =>
    ({ ...begin(report, 0, 0), kind: "over", outageMs: 1_200, ...more }) as Kill;
  const one = {
    name: "painter 1",
    wasCut: true,
    isBack: true,
    outMs: 830,
    resumedBefore: 0,
    lastOutBefore: null,
  };

  function box(kill: Kill, outage = NEVER_OUT, ask = () => undefined): string {
    return text(<KillBox kill={kill} outage={outage} report={report} ask={ask} />);
  }

  it("says how long each was out, that all came back, and that nothing was lost", () => {
    const told = box(over({ watched: [one, { ...one, name: "painter 2" }] }), {
      sinceMs: null,
      lastMs: 900,
      count: 1,
    });

    expect(told).toContain(
      "The gateway was dead for 1.20 s. All 2 clients came back. 0 acknowledged pixels were lost.",
    );
    expect(told).toContain("painter 1830 ms");
    expect(told).toContain("this page900 ms");
  });

  it("names who is missing and counts what is lost or owed", () => {
    const told = box(
      over({ watched: [one, { ...one, name: "painter 2", isBack: false }], lost: 1, owed: 4 }),
    );

    expect(told).toContain("1 of 2 clients did not come back: painter 2.");
    expect(told).toContain("1 acknowledged pixel was lost, 4 still owed.");
  });

  it("kills once at a time", () => {
    const ask = vi.fn();
    box({ kind: "asked", before: report, cutsBefore: 0 }, NEVER_OUT, ask);
    root.querySelector("button")?.click();
    expect(ask).not.toHaveBeenCalled();
    box({ kind: "idle" }, NEVER_OUT, ask);
    root.querySelector("button")?.click();

    expect(ask).toHaveBeenCalledOnce();
  });
});

it("each colour can be chosen by its name", () => {
  const choose = vi.fn();
  expect(text(<Palette colors={CONFIG.colors} chosen={0} choose={choose} />)).toBe("Colourredblue");
  const [, blue] = root.querySelectorAll("input");
  blue?.click();

  expect(choose).toHaveBeenCalledWith(1);
});

it("a crowd is counted, with oneself first", () => {
  const people = new Map(
    Array.from({ length: 20 }, (_, index) => [`${index}`, { client: `${index}`, name: `P${index}` }]),
  );

  const told = text(<People people={people} self="7" isCurrent={true} />);
  expect(told).toMatch(/^Here now 20 clientsP7 \(you\)P0P1/u);
  expect(told).toContain("and 6 more");
  expect(text(<People people={people} self={null} isCurrent={false} />)).toContain("Last seen here");
});

it("the program to join with has ten lines and names this gateway", () => {
  const code = program(CONFIG);

  expect(code.split("\n")).toHaveLength(10);
  expect(code).toContain(CONFIG.gateway);
});
