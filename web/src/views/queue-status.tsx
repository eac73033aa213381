// The state of the queue: pixels without an acknowledgement, and a picture that is being reloaded.

import { count } from "../state/format";
import type { State } from "../state/state";

export function QueueStatus({ state }: { state: State }) {
  return (
    <p class="queue-status">
      <span role="status" data-testid="queue-status">
        {queueText(state)}
      </span>
      <span class="keys" id="keys">
        Hollow pixels are not acknowledged yet. Keys: arrows move, Enter or Space paints, <kbd>[</kbd> and{" "}
        <kbd>]</kbd> change the colour.
      </span>
    </p>
  );
}

function queueText({ queue, replica, link, isPersisted, pictureError }: State): string {
  if (queue.length > 0) {
    const pixels = count(queue.length, "pixel");
    if (link.kind === "connected") {
      return `${pixels} in flight`;
    }
    const where = isPersisted
      ? "stored in this browser until they are sent"
      : "not stored: a reload of the page loses them";
    return `${pixels} waiting for a connection, ${where}`;
  }
  if (replica.picture !== null && replica.requiredPosition === null) {
    return "All pixels that you drew are acknowledged";
  }
  const what = replica.picture === null ? "Loading the picture" : "Reloading the picture after a gap";
  return pictureError === null ? what : `${what}; the last attempt failed (${pictureError})`;
}
