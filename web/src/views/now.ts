// The current time, for countdowns and running durations.

import { useEffect, useState } from "preact/hooks";

/** Returns the time of this rendering, and renders the component again at this interval. */
export function useNow(everyMs: number): number {
  const [, setRenderedAt] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setRenderedAt(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return Date.now();
}
