// The demo's clients: the state and the last downtime of each.

import { duration } from "../state/format";
import type { LiveClient } from "../state/model";

export function Clients({ clients }: { clients: readonly LiveClient[] }) {
  const longest = Math.max(1, ...clients.map(downtimeMs));
  return (
    <section class="clients">
      <h2>Downtime per client</h2>
      <table>
        <thead class="hidden">
          <tr>
            <th scope="col">Client</th>
            <th scope="col">State</th>
            <th scope="col">Last downtime</th>
            <th scope="col">Longest</th>
          </tr>
        </thead>
        <tbody>
          {clients.map((client) => (
            <Row key={client.name} client={client} longest={longest} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function downtimeMs({ state, downtimeMs: current, lastDowntimeMs }: LiveClient): number {
  return state === "connected" ? (lastDowntimeMs ?? 0) : current;
}

function Row({ client, longest }: { client: LiveClient; longest: number }) {
  const isDisconnected = client.state !== "connected";
  const downtime = downtimeMs(client);
  return (
    <tr class={isDisconnected ? "disconnected" : ""}>
      <th scope="row">
        <span class="dot" aria-hidden="true" />
        {client.name}
      </th>
      <td class="state">
        {isDisconnected && client.attempt > 0 ? `attempt ${client.attempt}` : client.state}
      </td>
      <td class="bar">
        <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
          <rect class="track" width="100" height="8" rx="2" />
          <rect class="fill" width={(downtime / longest) * 100} height="8" rx="2" />
        </svg>
        <span>{downtime === 0 ? "none" : duration(downtime)}</span>
      </td>
      <td class="maximum">
        {client.downtimeMaxMs === null || client.downtimeMaxMs === 0
          ? ""
          : `max ${duration(client.downtimeMaxMs)}`}
      </td>
    </tr>
  );
}
