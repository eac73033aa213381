// The last disconnects: the client, the cause and the downtime. Closed at first, because the list of clients shows the
// last downtime of each.

import { age, duration } from "../state/format";
import type { Disconnect } from "../state/model";

const SHOWN_MAX = 8;

export function Disconnects({ disconnects, nowMs }: { disconnects: readonly Disconnect[]; nowMs: number }) {
  if (disconnects.length === 0) {
    return null;
  }
  return (
    <details class="disconnects">
      <summary>Why the clients were disconnected</summary>
      <ol>
        {disconnects.slice(0, SHOWN_MAX).map((disconnect) => (
          <li key={`${disconnect.atMs}-${disconnect.client}`}>
            <span class="client">{disconnect.client}</span>
            <span class="cause">
              {disconnect.cause}
              {disconnect.code !== null && <span class="code"> ({disconnect.code})</span>}
            </span>
            <span class="age">
              {disconnect.downtimeMs === null || disconnect.downtimeMs === 0
                ? ""
                : `down ${duration(disconnect.downtimeMs)}, `}
              {age(Math.max(0, nowMs - disconnect.atMs))}
            </span>
          </li>
        ))}
      </ol>
    </details>
  );
}
