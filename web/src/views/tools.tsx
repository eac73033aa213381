// Below the palette: the user's own pixels, and clearing the canvas.

import { useEffect, useRef, useState } from "preact/hooks";

interface Props {
  readonly isOwnHighlighted: boolean;
  readonly toggleOwn: () => void;
  readonly clear: () => void;
}

export function Tools({ isOwnHighlighted, toggleOwn, clear }: Props) {
  return (
    <div class="tools">
      <button type="button" class="quiet" aria-pressed={isOwnHighlighted} onClick={toggleOwn}>
        My pixels
      </button>
      <ClearButton clear={clear} />
    </div>
  );
}

/** Asks before it clears, in place. The focus follows, and returns to the button. */
function ClearButton({ clear }: { clear: () => void }) {
  const [isAsking, setAsking] = useState(false);
  const confirm = useRef<HTMLButtonElement>(null);
  const ask = useRef<HTMLButtonElement>(null);
  const wasAsking = useRef(false);
  useEffect(() => {
    if (isAsking) {
      confirm.current?.focus();
    } else if (wasAsking.current) {
      ask.current?.focus();
    }
    wasAsking.current = isAsking;
  }, [isAsking]);
  if (!isAsking) {
    return (
      <button type="button" class="quiet" ref={ask} onClick={() => setAsking(true)}>
        Clear
      </button>
    );
  }
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape is a shortcut for the second button
    <span class="confirm" onKeyDown={({ key }) => key === "Escape" && setAsking(false)}>
      <span id="clear-question">Clear the canvas for all participants?</span>
      <button
        type="button"
        class="quiet bad"
        ref={confirm}
        aria-describedby="clear-question"
        onClick={() => {
          clear();
          setAsking(false);
        }}
      >
        Clear it
      </button>
      <button type="button" class="quiet" onClick={() => setAsking(false)}>
        Keep it
      </button>
    </span>
  );
}
