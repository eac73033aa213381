// Polls the live report of the demo's server, and requests kills of the gateway.

import type { Store } from "../state/store";
import * as http from "./http";
import { sleep } from "./retry";

/** Between two requests while the page is visible. */
const VISIBLE_INTERVAL_MS = 1_000;
/** Between two requests during a kill. A shorter outage may begin and end between two reports. */
const KILL_INTERVAL_MS = 200;
/** Between two requests while the page is hidden. */
const HIDDEN_INTERVAL_MS = 5_000;

export interface Live {
  readonly kill: () => Promise<void>;
}

export function watchLive(store: Store): Live {
  void report(store);
  return { kill: () => kill(store) };
}

async function report(store: Store): Promise<never> {
  for (;;) {
    try {
      const next = await http.live();
      store.dispatch({ type: "reported", report: next, nowMs: Date.now() });
    } catch {
      store.dispatch({ type: "reportFailed" });
    }
    await sleep(interval(store));
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
