// Holds the state and notifies listeners of each change, in order.

import { type Action, reduce } from "./reduce";
import type { State } from "./state";

export interface Store {
  readonly get: () => State;
  readonly dispatch: (action: Action) => void;
  /** Returns a function that removes the listener. */
  readonly listen: (listener: () => void) => () => void;
}

export function createStore(initialState: State): Store {
  let state = initialState;
  const listeners = new Set<() => void>();
  return {
    get: () => state,
    dispatch: (action) => {
      const next = reduce(state, action);
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
