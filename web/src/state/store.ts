// Holds the state and tells listeners about each change, in order.

import { type Fact, reduce } from "./reduce";
import type { State } from "./state";

export interface Store {
  readonly get: () => State;
  readonly dispatch: (fact: Fact) => void;
  /** Returns how to stop listening. */
  readonly listen: (listener: () => void) => () => void;
}

export function createStore(beginning: State): Store {
  let state = beginning;
  const listeners = new Set<() => void>();
  return {
    get: () => state,
    dispatch: (fact) => {
      const next = reduce(state, fact);
      if (next === state) {
        return;
      }
      state = next;
      for (const listener of listeners) {
        listener();
      }
    },
    listen: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
