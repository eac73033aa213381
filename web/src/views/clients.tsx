// The list of clients: the state, the last downtime and the longest of each.

import { type ClientRow, clientRows } from "../state/clients";
import { duration } from "../state/format";
import type { State } from "../state/state";
import { useNow } from "./now";

/** The interval at which running durations and countdowns are shown. */
const RUNNING_MS = 100;
const IDLE_MS = 60_000;

export function Clients({ state }: { state: State }) {
  const isRunning = clientRows(state, state.live.receivedMs).some(({ isConnected }) => !isConnected);
  const rows = clientRows(state, useNow(isRunning ? RUNNING_MS : IDLE_MS));
  const longest = Math.max(1, ...rows.map(({ downtimeMs }) => downtimeMs ?? 0));
  return (
    <section class="clients" aria-labelledby="clients-title">
      <h2 id="clients-title">Clients and their last downtime</h2>
      <table>
        <thead class="hidden">
          <tr>
            <th scope="col">Client</th>
            <th scope="col">State</th>
            <th scope="col">Last downtime</th>
            <th scope="col">Longest downtime</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <Row key={row.name} row={row} longest={longest} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Row({ row, longest }: { row: ClientRow; longest: number }) {
  const { name, isConnected, status, nextAttemptInMs, downtimeMs, maxMs } = row;
  return (
    <tr class={isConnected ? "" : "disconnected"}>
      <th scope="row">
        <span class="dot" aria-hidden="true" />
        {name}
      </th>
      <td class="state">
        {nextAttemptInMs === null ? status : `next attempt in ${(nextAttemptInMs / 1_000).toFixed(1)} s`}
      </td>
      <td class="bar">
        <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
          <rect class="track" width="100" height="8" rx="2" />
          <rect class="fill" width={((downtimeMs ?? 0) / longest) * 100} height="8" rx="2" />
        </svg>
      </td>
      <td class="downtime">{downtimeMs === null ? "none" : duration(downtimeMs)}</td>
      <td class="maximum">{maxMs === null || maxMs === 0 ? "" : `longest ${duration(maxMs)}`}</td>
    </tr>
  );
}
