// The state of the queue: strokes without an acknowledgement, and a picture that is being reloaded.

import { count } from "../state/format";
import { isClear } from "../state/model";
import type { State } from "../state/state";

export function QueueStatus({ state }: { state: State }) {
  return (
    <p class="queue-status">
      <span role="status" data-testid="queue-status">
        {queueText(state)}
      </span>
      <span class="keys" id="keys">
        Hollow pixels are not acknowledged yet.
        <span class="keyboard-only">
          {" "}
          Keys: arrows move, Enter or Space paints, <kbd>[</kbd> and <kbd>]</kbd> change the colour.
        </span>
      </span>
    </p>
  );
}

function queueText(state: State): string {
  const { queue, replica, link, isPersisted, pictureError } = state;
  if (queue.length > 0) {
    if (link.kind === "connected") {
      return `${queued(state)} in flight`;
    }
    const where = isPersisted ? "stored in this browser" : "not stored: a reload of the page loses them";
    return `${queued(state)} waiting for a connection, ${where}`;
  }
  if (replica.picture !== null && replica.requiredPosition === null) {
    return "All pixels that you drew are acknowledged";
  }
  const what = replica.picture === null ? "Loading the picture" : "Reloading the picture after a gap";
  return pictureError === null ? what : `${what}; the last attempt failed (${pictureError})`;
}

function queued({ queue }: State): string {
  const pixels = queue.filter((item) => !isClear(item)).length;
  const clears = queue.length - pixels;
  const parts = [
    ...(clears === 0 ? [] : ["The clearing of the canvas"]),
    ...(pixels === 0 ? [] : [count(pixels, "pixel")]),
  ];
  return parts.join(" and ");
}
