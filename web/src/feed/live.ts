// Asks the demo's server for its books, and for a kill.

import type { Store } from "../state/store";
import * as http from "./http";
import { pause } from "./repeat";

const CALM_MS = 1_000;
/** While a kill is watched, an outage shorter than this may be missed between two reports. */
const WATCH_MS = 200;
const HIDDEN_MS = 5_000;

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
      store.dispatch({ type: "reportMissed" });
    }
    await pause(interval(store));
  }
}

function interval(store: Store): number {
  const { kind } = store.get().kill;
  if (kind === "asked" || kind === "watching") {
    return WATCH_MS;
  }
  return document.visibilityState === "visible" ? CALM_MS : HIDDEN_MS;
}

async function kill(store: Store): Promise<void> {
  store.dispatch({ type: "killAsked" });
  try {
    const refusal = await http.kill();
    store.dispatch(
      refusal === null ? { type: "killed", nowMs: Date.now() } : { type: "killRefused", reason: refusal },
    );
  } catch {
    store.dispatch({ type: "killRefused", reason: "The demo's server did not answer." });
  }
}
