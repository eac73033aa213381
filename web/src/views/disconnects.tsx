// The last disconnects: who, why, and for how long.

import type { Disconnect } from "../state/model";
import { age, duration } from "../state/words";

const SHOWN_MAX = 8;

export function Disconnects({ disconnects, nowMs }: { disconnects: readonly Disconnect[]; nowMs: number }) {
  return (
    <section class="disconnects">
      <h2>Last disconnects</h2>
      {disconnects.length === 0 ? (
        <p class="dim">None since the demo began.</p>
      ) : (
        <ol>
          {disconnects.slice(0, SHOWN_MAX).map((one) => (
            <li key={`${one.atMs}-${one.client}`}>
              <span class="who">{one.client}</span>
              <span class="why">
                {one.cause}
                {one.code !== null && <span class="code"> ({one.code})</span>}
              </span>
              <span class="when">
                {one.outMs === null || one.outMs === 0 ? "" : `out ${duration(one.outMs)}, `}
                {age(Math.max(0, nowMs - one.atMs))}
              </span>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
