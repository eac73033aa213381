// Polls the live report of the demo's server, and requests kills of the gateway.

import type { Action } from "../state/reduce";
import type { State } from "../state/state";
import type { Store } from "../state/store";
import * as http from "./http";
import { sleep } from "./retry";

/** The interval between two requests while the page is visible. */
const VISIBLE_INTERVAL_MS = 1_000;
/** The interval between two requests during an outage. A shorter outage may begin and end between two reports. */
const OUTAGE_INTERVAL_MS = 200;
/** How long after a restart of the gateway the interval stays short, so that the numbers settle with the verdict. */
const SETTLE_MS = 3_000;
/** The interval between two requests while the page is hidden. */
const HIDDEN_INTERVAL_MS = 5_000;

export interface Live {
  readonly kill: () => Promise<void>;
}

/** Polls until the signal is aborted. */
export function watchLive(store: Store, signal: AbortSignal): Live {
  const polls = new Polls(store, signal);
  void polls.run();
  return {
    kill: async () => {
      await kill(store);
      polls.wake();
    },
  };
}

class Polls {
  readonly #store: Store;
  readonly #signal: AbortSignal;
  #waiting = new AbortController();

  constructor(store: Store, signal: AbortSignal) {
    this.#store = store;
    this.#signal = signal;
    // A lost connection most likely means that the last report is outdated.
    let wasConnected = false;
    const unlisten = store.listen(() => {
      const isConnected = store.get().link.kind === "connected";
      if (wasConnected !== isConnected) {
        wasConnected = isConnected;
        this.wake();
      }
    });
    signal.addEventListener("abort", () => {
      unlisten();
      this.wake();
    });
  }

  async run(): Promise<void> {
    while (!this.#signal.aborted) {
      this.#waiting = new AbortController();
      const action = await requestReport();
      if (!this.#signal.aborted) {
        this.#store.dispatch(action);
        await sleep(interval(this.#store.get()), this.#waiting.signal);
      }
    }
  }

  /** Ends the pause before the next request; if a request is in progress, the next one follows immediately. */
  wake(): void {
    this.#waiting.abort();
  }
}

async function requestReport(): Promise<Action> {
  const requestedMs = Date.now();
  try {
    return { type: "reported", report: await http.live(), requestedMs, nowMs: Date.now() };
  } catch {
    // The page marks the last report as outdated.
    return { type: "reportFailed" };
  }
}

function interval({ kill: { kind }, live, link }: State): number {
  const isGatewayDown = !live.isStale && live.report !== null && live.report.gateway.state !== "up";
  const isSettling = live.upSinceMs !== null && live.receivedMs - live.upSinceMs < SETTLE_MS;
  if (kind === "requested" || kind === "recovering" || isGatewayDown || isSettling) {
    return OUTAGE_INTERVAL_MS;
  }
  if (document.visibilityState !== "visible") {
    return HIDDEN_INTERVAL_MS;
  }
  return link.kind === "reconnecting" && !live.isStale ? OUTAGE_INTERVAL_MS : VISIBLE_INTERVAL_MS;
}

async function kill(store: Store): Promise<void> {
  store.dispatch({ type: "killRequested" });
  try {
    const rejection = await http.kill();
    store.dispatch(
      rejection === null ? { type: "killed", nowMs: Date.now() } : { type: "killRejected", ...rejection },
    );
  } catch {
    const reason = "The demo's server did not respond.";
    store.dispatch({ type: "killRejected", reason, isTransient: true });
  }
}
