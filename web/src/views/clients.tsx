// The demo's clients: how each is, and how long it was out last.

import type { LiveClient } from "../state/model";
import { duration } from "../state/words";

export function Clients({ clients }: { clients: readonly LiveClient[] }) {
  const longest = Math.max(1, ...clients.map(outMs));
  return (
    <section class="clients">
      <h2>Time out per client</h2>
      <table>
        <thead class="hidden">
          <tr>
            <th scope="col">Client</th>
            <th scope="col">State</th>
            <th scope="col">Last time out</th>
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

function outMs({ state, outMs: now, lastOutMs }: LiveClient): number {
  return state === "connected" ? (lastOutMs ?? 0) : now;
}

function Row({ client, longest }: { client: LiveClient; longest: number }) {
  const isOut = client.state !== "connected";
  const out = outMs(client);
  return (
    <tr class={isOut ? "out" : ""}>
      <th scope="row">
        <span class="dot" aria-hidden="true" />
        {client.name}
      </th>
      <td class="state">{isOut && client.attempt > 0 ? `try ${client.attempt}` : client.state}</td>
      <td class="bar">
        <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
          <rect class="track" width="100" height="8" rx="2" />
          <rect class="fill" width={(out / longest) * 100} height="8" rx="2" />
        </svg>
        <span>{out === 0 ? "never out" : duration(out)}</span>
      </td>
      <td class="most">
        {client.outMaxMs === null || client.outMaxMs === 0 ? "" : `max ${duration(client.outMaxMs)}`}
      </td>
    </tr>
  );
}
