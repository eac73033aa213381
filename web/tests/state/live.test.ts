import { describe, expect, it } from "vitest";
import { clientRows } from "../../src/state/clients";
import { canKill, shownGateway, unreachableReason } from "../../src/state/live";
import type { Link, Report } from "../../src/state/model";
import { type Action, reduce } from "../../src/state/reduce";
import { initial, type State } from "../../src/state/state";
import { client, down, report, unresponsive } from "./reports";

const CONNECTED: Link = { kind: "connected", sinceMs: 0 };
const LOST: Link = { kind: "reconnecting", attempt: 1, nextAttemptAtMs: 2_600, cause: "transport closed" };
const PAINTERS = [client("painter 1")];
const PICTURE = { epoch: "e", offset: 0, pixels: new Uint8Array(0), foreground: new Uint8Array(0) };
const BACK = [client("painter 1", { resumed: 1, lastDowntimeMs: 900, downtimeMaxMs: 900 })];

function stateAfter(...actions: readonly Action[]): State {
  return actions.reduce(reduce, initial("Ada", 0));
}

function reported(next: Report, nowMs: number, requestedMs = nowMs): Action {
  return { type: "reported", report: next, requestedMs, nowMs };
}

function link(to: Link, nowMs: number): Action {
  return { type: "linkChanged", link: to, self: null, nowMs };
}

/** The connected page with a first report, after an accepted kill. */
const KILLED: readonly Action[] = [
  link(CONNECTED, 0),
  reported(report(0, PAINTERS), 1_000),
  { type: "killRequested" },
  { type: "killed", nowMs: 1_010 },
];

describe("the gateway", () => {
  it("is never shown up from the click until this page is connected again", () => {
    const steps: readonly Action[] = [
      ...KILLED,
      // This report was made before the kill, and arrives after it.
      reported(report(0, PAINTERS), 1_020, 1_005),
      link(LOST, 1_030),
      reported(down(1, PAINTERS), 1_200),
      reported(report(1, BACK), 2_400),
    ];
    const shown = steps.map((_, index) => shownGateway(stateAfter(...steps.slice(0, index + 1))));

    expect(shown).toEqual(["unknown", "up", "killing", "down", "down", "down", "down", "restarted"]);
    const back = stateAfter(...steps, link(CONNECTED, 2_500));
    expect(shownGateway(back)).toBe("up");
  });

  it("is down when the demo has accepted the kill, and has no connections", () => {
    const { live } = stateAfter(...KILLED);

    expect(live.report).toMatchObject({ gateway: { state: "down" }, connections: 0 });
    expect(live.report?.clients).toMatchObject([{ state: "disconnected" }]);
  });

  it("is being checked when a page that did not request the kill loses its connection", () => {
    const lost = stateAfter(link(CONNECTED, 0), reported(report(0), 1_000), link(LOST, 1_500));

    expect(shownGateway(lost)).toBe("checking");
    expect(shownGateway(reduce(lost, reported(report(0), 1_600, 1_400)))).toBe("checking");
    expect(shownGateway(reduce(lost, reported(report(0), 1_600)))).toBe("up");
  });

  it("that does not respond is shown so while this page is connected, and can be killed", () => {
    const hangs = stateAfter(link(CONNECTED, 0), reported(unresponsive(), 1_000));

    expect([shownGateway(hangs), canKill(hangs)]).toEqual(["unresponsive", true]);
    expect(shownGateway(reduce(hangs, reported(report(0), 2_000)))).toBe("up");
  });

  it("is unreachable while the demo does not respond, and cannot be killed", () => {
    const state = stateAfter(link(CONNECTED, 0), reported(report(0), 1_000));
    const stale = reduce(state, { type: "reportFailed" });

    expect([shownGateway(stale), canKill(stale)]).toEqual(["unreachable", false]);
    expect([shownGateway(state), canKill(state)]).toEqual(["up", true]);
  });
});

describe("an outage that this page did not request", () => {
  it("is evaluated like a kill, with this page", () => {
    const state = stateAfter(
      link(CONNECTED, 0),
      reported(report(0, PAINTERS), 1_000),
      link(LOST, 1_500),
      reported(down(1, [client("painter 1", { state: "reconnecting" })]), 1_600),
    );
    expect(state.kill).toMatchObject({ kind: "recovering", outagesBefore: 0, pageOutagesBefore: 0 });
    const settled = [
      link(CONNECTED, 2_500),
      { type: "pictureLoaded", picture: PICTURE, nowMs: 2_600 } as const,
      reported(report(1, BACK), 2_800),
    ].reduce(reduce, state);

    expect(settled.kill).toMatchObject({ kind: "finished", outageMs: 1_200, lost: 0 });
  });

  it("that ended before this page was loaded is shown by the first report", () => {
    const state = stateAfter(reported(report(1, BACK, { lost: 2 }), 1_000));

    expect(state.kill).toMatchObject({ kind: "finished", outageMs: 1_200, lost: 2 });
    expect(state.kill).toMatchObject({ clients: [{ name: "painter 1", hasReconnected: true }] });
  });

  it("is shown to a page that is loaded during it, once the demo's clients are back", () => {
    const out = [client("painter 1", { state: "reconnecting", downtimeMs: 300 })];
    const loaded = stateAfter(reported(down(1, out), 1_000));
    const restarted = reduce(loaded, reported(report(1, out), 2_000));
    const lagging = reduce(restarted, reported(report(1, [client("painter 1", { undelivered: 3 })]), 2_200));

    expect([loaded.kill.kind, restarted.kill.kind, lagging.kill.kind]).toEqual([
      ...["recovering", "recovering", "recovering"],
    ]);
    expect(reduce(lagging, reported(report(1, BACK), 2_400)).kill).toMatchObject({
      ...{ kind: "finished", outageMs: 1_200, lost: 0 },
    });
  });

  it("in another demo, which this page did not see, is evaluated without the earlier report", () => {
    const state = stateAfter(
      reported(report(0, PAINTERS), 1_000),
      reported(report(1, BACK, { startedMs: 2 }), 5_000),
    );

    expect(state.kill).toMatchObject({ kind: "finished", outageMs: 1_200 });
  });

  it("is not compared with the report of an earlier demo", () => {
    const state = stateAfter(...KILLED, reported(report(0, PAINTERS, { startedMs: 2 }), 5_000));

    expect(state.kill).toEqual({ kind: "idle" });
    expect(canKill(state)).toBe(true);
  });
});

it("a page that fails to connect to a gateway that is up knows the cause", () => {
  const failing: Link = { ...LOST, attempt: 4 };
  const state = stateAfter(link(failing, 0), reported(report(0), 1_000), reported(report(0), 4_900));

  expect(unreachableReason(state)).toBeNull();
  expect(unreachableReason(reduce(state, reported(report(0), 5_000)))).toBe("transport closed");
  const restarted = [reported(down(1), 5_000), reported(report(1), 5_200)].reduce(reduce, state);
  expect(unreachableReason(restarted)).toBeNull();
  expect(unreachableReason(reduce(state, { type: "reportFailed" }))).toBeNull();
});

describe("the list of clients", () => {
  it("shows the next attempt by the server's clock, and durations that continue", () => {
    const waiting = client("painter 1", {
      state: "reconnecting",
      nextAttemptAtMs: 50_900,
      downtimeMs: 300,
    });
    const state = stateAfter(
      link(CONNECTED, 0),
      reported({ ...down(1, [waiting]), nowMs: 50_000 }, 2_000),
      link(LOST, 2_100),
    );

    expect(clientRows(state, 2_300)).toEqual([
      {
        ...{ name: "painter 1", isConnected: false, status: "connecting" },
        ...{ nextAttemptInMs: 600, downtimeMs: 600, maxMs: null },
      },
      {
        ...{ name: "this page", isConnected: false, status: "connecting" },
        ...{ nextAttemptInMs: 300, downtimeMs: 200, maxMs: null },
      },
    ]);
    expect(clientRows(state, 3_000)[0]?.nextAttemptInMs).toBeNull();
  });

  it("shows the last and the longest downtime of a connected client", () => {
    const rows = clientRows(stateAfter(link(CONNECTED, 0), reported(report(1, BACK), 1_000)), 2_000);

    expect(rows[0]).toMatchObject({ isConnected: true, status: "connected", downtimeMs: 900, maxMs: 900 });
    expect(rows[1]).toMatchObject({ isConnected: true, downtimeMs: null, maxMs: null });
  });

  it("shows no client of the demo as connected while the demo does not respond", () => {
    const known = stateAfter(link(CONNECTED, 0), reported(report(1, BACK), 1_000));
    const [painter, page] = clientRows(reduce(known, { type: "reportFailed" }), 2_000);

    expect(painter).toMatchObject({ isConnected: false, status: "unknown", downtimeMs: 900 });
    expect(page).toMatchObject({ isConnected: true });
  });

  it("has no rows before the first report", () => {
    expect(clientRows(stateAfter(), 0)).toEqual([]);
  });
});
