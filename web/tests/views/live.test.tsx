// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { NO_REPORT } from "../../src/state/live";
import type { Disconnect, Report } from "../../src/state/model";
import { initial, type State } from "../../src/state/state";
import { Clients } from "../../src/views/clients";
import { Disconnects } from "../../src/views/disconnects";
import { Live } from "../../src/views/live";
import { Spark } from "../../src/views/spark";
import { client, report, unresponsive } from "../state/reports";
import { Mount } from "./mount";

const REPORT = report(0, [client("a")], {
  ...{ connections: 1_234, messagesPerSecond: 19.6, resumes: 3, undelivered: 2, acked: 5 },
});

let mount: Mount;

function state(current: Report | null, isStale = false): State {
  return { ...initial("Ada", 0), live: { ...NO_REPORT, report: current, isStale } };
}

beforeEach(() => {
  vi.useFakeTimers({ now: 2_000 });
  mount = new Mount();
});

afterEach(() => {
  mount.remove();
  vi.useRealTimers();
});

describe("the live report", () => {
  function live(current: Report | null, isStale = false): string {
    return mount.text(<Live state={state(current, isStale)} />);
  }

  it("shows its numbers, and that it is outdated", () => {
    expect(live(REPORT)).toContain(
      "Messages per second20Connections1,234Resumed connections3Acknowledged pixels5Not delivered yet2Lost pixels0",
    );
    expect(mount.element(".live").className).not.toContain("stale");
    live(REPORT, true);
    expect(mount.element(".live").className).toContain("stale");
  });

  it("shows no number of connections of a gateway that does not respond", () => {
    expect(live(unresponsive())).toContain("Connections–Resumed");
  });

  it("marks lost pixels as bad", () => {
    live({ ...REPORT, lost: 1 });

    expect(mount.element(".tile.bad").textContent).toBe("Lost pixels1");
  });

  it("is awaited before the first response", () => {
    expect(live(null)).toContain("Waiting for the first report");
  });
});

it("the clients show their state, the next attempt, and the last, running and longest downtime", () => {
  const rows = [
    client("a"),
    client("b", { lastDowntimeMs: 900, downtimeMaxMs: 1_500 }),
    client("c", { state: "reconnecting", nextAttemptAtMs: 1_000_600, downtimeMs: 3_000 }),
    client("d", { state: "failed", downtimeMs: 1_000 }),
  ];
  const shown = state(report(1, rows, { nowMs: 1_000_000 }));
  mount.text(<Clients state={{ ...shown, live: { ...shown.live, receivedMs: Date.now() } }} />);
  const texts = [...mount.root.querySelectorAll("tbody tr")].map((row) => row.textContent);

  expect(texts).toEqual([
    ...[
      "anoneconnected",
      "b900 msconnected, longest 1.50 s",
      "c3.00 snext attempt in 0.6 s",
      "d1.00 sfailed",
    ],
    "this pagenoneconnecting",
  ]);
  expect([...mount.root.querySelectorAll("tr.disconnected th")].map((it) => it.textContent)).toEqual([
    ...["c", "d", "this page"],
  ]);
});

it("the bars have a fixed scale, which doubles when a downtime exceeds it", () => {
  const widths = (...downtimesMs: readonly number[]): readonly (string | null)[] => {
    const rows = downtimesMs.map((lastDowntimeMs, index) => client(`${index}`, { lastDowntimeMs }));
    mount.text(<Clients state={state(report(1, rows))} />);
    return [...mount.root.querySelectorAll(".fill")].map((bar) => bar.getAttribute("width"));
  };

  expect(widths(750, 1_500)).toEqual(["25", "50", "0"]);
  expect(widths(3_000, 0)).toEqual(["100", "0", "0"]);
  expect(widths(3_001, 1_500)?.[1]).toBe("25");
  expect(widths(12_000, 12_000)?.[0]).toBe("100");
});

it("a countdown that begins after a quiet minute starts with the current time", () => {
  const quiet = state(report(0, [client("a")]));
  mount.text(<Clients state={{ ...quiet, link: { kind: "connected", sinceMs: 0 } }} />);
  vi.setSystemTime(50_000);
  const waiting = client("a", { state: "reconnecting", nextAttemptAtMs: 50_400, downtimeMs: 10 });
  const down = state(report(1, [waiting], { nowMs: 50_000 }));

  const text = mount.text(<Clients state={{ ...down, live: { ...down.live, receivedMs: 50_000 } }} />);
  expect(text).toContain("a10 msnext attempt in 0.4 s");
});

describe("the last disconnects", () => {
  const disconnect: Disconnect = { atMs: 1_000, client: "a", cause: "no ping", code: null, downtimeMs: null };

  it("show the client, the cause with its code, the downtime and the age", () => {
    const list = [
      { ...disconnect, code: 3_001, downtimeMs: 830 },
      { ...disconnect, atMs: 0 },
    ];
    mount.text(<Disconnects disconnects={list} nowMs={6_000} />);
    const texts = [...mount.root.querySelectorAll("li")].map((row) => row.textContent);

    expect(texts).toEqual(["ano ping (3001)down 830 ms, 5 s ago", "ano ping6 s ago"]);
  });

  it("are at most eight", () => {
    const many = Array.from({ length: 20 }, (_, index) => ({ ...disconnect, atMs: index }));
    mount.text(<Disconnects disconnects={many} nowMs={0} />);
    expect(mount.root.querySelectorAll("li")).toHaveLength(8);

    expect(mount.text(<Disconnects disconnects={[]} nowMs={0} />)).toBe("");
  });
});

describe("the line chart", () => {
  it("spans its size, from the first value to the last", () => {
    mount.text(<Spark values={[0, 10, 5]} />);

    expect(mount.element("polyline").getAttribute("points")).toBe("0.0,26.0 60.0,2.0 120.0,14.0");
  });

  it("needs two values", () => {
    mount.text(<Spark values={[1]} />);

    expect(mount.root.querySelector("svg")).toBeNull();
  });
});
