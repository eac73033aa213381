// What waits: pixels without an acknowledgement, and a picture that is being loaded again.

import type { State } from "../state/state";
import { count } from "../state/words";

export function Waiting({ state }: { state: State }) {
  return (
    <p class="waiting">
      <span role="status" data-testid="waiting">
        {sentence(state)}
      </span>
      <span class="keys" id="keys">
        Hollow pixels are not acknowledged yet. Keys: arrows move, Enter or Space paints, <kbd>[</kbd> and{" "}
        <kbd>]</kbd> change the colour.
      </span>
    </p>
  );
}

function sentence({ queue, follow, link, isKept }: State): string {
  if (queue.length > 0) {
    const pixels = count(queue.length, "pixel");
    if (link.kind === "connected") {
      return `${pixels} on the way`;
    }
    const where = isKept
      ? "kept in this browser, also over a reload"
      : "but this browser keeps nothing over a reload";
    return `${pixels} waiting for the connection, ${where}`;
  }
  if (follow.picture === null) {
    return "Loading the picture";
  }
  return follow.needed === null
    ? "All that you drew is acknowledged"
    : "Loading the picture again after a gap";
}
