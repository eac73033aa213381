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
  const { queue, replica, link, pictureError } = state;
  if (queue.length > 0) {
    return link.kind === "connected" ? inFlight(state) : waiting(state);
  }
  if (replica.picture !== null && replica.requiredPosition === null) {
    return "All pixels that you drew are acknowledged";
  }
  const what = replica.picture === null ? "Loading the picture" : "Reloading the picture after a gap";
  return pictureError === null ? what : `${what}; the last attempt failed (${pictureError})`;
}

function inFlight(state: State): string {
  const { hasClear, pixels } = queued(state);
  return sentence(
    hasClear && "The canvas is being cleared",
    pixels > 0 && `${count(pixels, "pixel")} in flight`,
  );
}

function waiting(state: State): string {
  const { hasClear, pixels } = queued(state);
  const where = state.isPersisted ? "stored in this browser" : "not stored: a reload of the page loses them";
  return sentence(
    hasClear && "The canvas is cleared when the connection is back",
    pixels > 0 && `${count(pixels, "pixel")} waiting for a connection, ${where}`,
  );
}

function queued({ queue }: State): { readonly hasClear: boolean; readonly pixels: number } {
  const pixels = queue.filter((item) => !isClear(item)).length;
  return { hasClear: pixels < queue.length, pixels };
}

function sentence(...parts: readonly (string | false)[]): string {
  return parts.filter((part) => part !== false).join("; ");
}
