// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Config, Disconnect, LiveClient, Report } from "../../src/state/model";
import { initial, type State } from "../../src/state/state";
import { Clients } from "../../src/views/clients";
import { Disconnects } from "../../src/views/disconnects";
import { Live } from "../../src/views/live";
import { Spark } from "../../src/views/spark";
import { Mount } from "./mount";

const CONFIG: Config = {
  ...{ gateway: "ws://here", channel: "canvas", width: 64, height: 64, colors: ["#c8342f"] },
  ...{ isKillAllowed: true, dedupWindowMs: 120_000 },
};
const REPORT: Report = {
  ...{ nowMs: 0, connections: 1_234, messagesPerSecond: 19.6, resumes: 3, clients: [], undelivered: 2 },
  ...{ lost: 0, acked: 5, duplicated: 0, disconnects: [] },
  gateway: { state: "up", kills: 0, downSinceMs: null, lastOutageMs: null },
};

let mount: Mount;

function client(name: string, over: Partial<LiveClient> = {}): LiveClient {
  return {
    ...{ name, state: "connected", attempt: 0, nextAttemptAtMs: null, downtimeMs: 0, lastDowntimeMs: null },
    ...{ downtimeMaxMs: null, resumed: 0, undelivered: 0, lost: 0, acked: 0, inFlight: 0 },
    ...over,
  };
}

function state(report: Report | null, isStale = false): State {
  return { ...initial("Ada", 0), live: { report, isStale, rates: [] } };
}

beforeEach(() => {
  mount = new Mount();
});

afterEach(() => {
  mount.remove();
});

describe("the live report", () => {
  function live(report: Report | null, isStale = false, config = CONFIG): string {
    return mount.text(<Live state={state(report, isStale)} config={config} kill={() => undefined} />);
  }

  it("shows its numbers, and that it is outdated", () => {
    const text = live(REPORT);

    expect(text).toContain("Messages per second20Connections1,234Resumes3Acknowledged5Undelivered2Lost0");
    expect(text).not.toContain("outdated");
    expect(live(REPORT, true)).toContain("does not respond; these numbers are outdated");
    expect(mount.element(".live").className).toContain("stale");
  });

  it("marks lost pixels as bad", () => {
    live({ ...REPORT, lost: 1 });

    expect(mount.element(".tile.bad").textContent).toBe("Lost1");
  });

  it("is awaited before the first response, and has no button where killing is disabled", () => {
    expect(live(null)).toContain("Waiting for the first report");
    expect(live(REPORT, false, { ...CONFIG, isKillAllowed: false })).not.toContain("Kill the gateway");
  });
});

describe("the clients", () => {
  it("show their state and the last, running and longest downtime", () => {
    const rows = [
      client("a"),
      client("b", { lastDowntimeMs: 900, downtimeMaxMs: 1_500 }),
      client("c", { state: "reconnecting", attempt: 2, downtimeMs: 3_000 }),
      client("d", { state: "failed", downtimeMs: 1_000 }),
    ];
    mount.text(<Clients clients={rows} />);
    const texts = [...mount.root.querySelectorAll("tbody tr")].map((row) => row.textContent);

    expect(texts).toEqual([
      "aconnectednone",
      "bconnected900 msmax 1.50 s",
      "cattempt 23.00 s",
      "dfailed1.00 s",
    ]);
    expect([...mount.root.querySelectorAll("tr.disconnected th")].map((it) => it.textContent)).toEqual([
      "c",
      "d",
    ]);
  });
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

  it("are at most eight, and say when there is none", () => {
    const many = Array.from({ length: 20 }, (_, index) => ({ ...disconnect, atMs: index }));
    mount.text(<Disconnects disconnects={many} nowMs={0} />);
    expect(mount.root.querySelectorAll("li")).toHaveLength(8);

    expect(mount.text(<Disconnects disconnects={[]} nowMs={0} />)).toContain("None since the demo started.");
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
