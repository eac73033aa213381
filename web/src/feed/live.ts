// Polls the live report of the demo's server, and requests kills of the gateway.

import type { Action } from "../state/reduce";
import type { Store } from "../state/store";
import * as http from "./http";
import { sleep } from "./retry";

/** The interval between two requests while the page is visible. */
const VISIBLE_INTERVAL_MS = 1_000;
/** The interval between two requests during a kill. A shorter outage may begin and end between two reports. */
const KILL_INTERVAL_MS = 200;
/** The interval between two requests while the page is hidden. */
const HIDDEN_INTERVAL_MS = 5_000;

export interface Live {
  readonly kill: () => Promise<void>;
}

/** Polls until the signal is aborted. */
export function watchLive(store: Store, signal: AbortSignal): Live {
  void pollReports(store, signal);
  return { kill: () => kill(store) };
}

async function pollReports(store: Store, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const action = await requestReport();
    if (!signal.aborted) {
      store.dispatch(action);
      await sleep(interval(store), signal);
    }
  }
}

async function requestReport(): Promise<Action> {
  try {
    return { type: "reported", report: await http.live(), nowMs: Date.now() };
  } catch {
    // The page marks the last report as outdated.
    return { type: "reportFailed" };
  }
}

function interval(store: Store): number {
  const { kind } = store.get().kill;
  if (kind === "requested" || kind === "recovering") {
    return KILL_INTERVAL_MS;
  }
  return document.visibilityState === "visible" ? VISIBLE_INTERVAL_MS : HIDDEN_INTERVAL_MS;
}

async function kill(store: Store): Promise<void> {
  store.dispatch({ type: "killRequested" });
  try {
    const rejection = await http.kill();
    store.dispatch(
      rejection === null
        ? { type: "killed", nowMs: Date.now() }
        : { type: "killRejected", reason: rejection },
    );
  } catch {
    store.dispatch({ type: "killRejected", reason: "The demo's server did not respond." });
  }
}
