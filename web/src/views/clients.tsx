// The list of clients: the state, the last downtime and the longest of each.

import { type ClientRow, clientRows } from "../state/clients";
import { duration } from "../state/format";
import type { State } from "../state/state";
import { useNow } from "./now";

/** The interval at which running durations and countdowns are shown. */
const RUNNING_MS = 100;
const IDLE_MS = 60_000;
/** The shortest scale of the bars: longer than a restart and a delay of most clients. It doubles when exceeded. */
const BAR_MS = 3_000;

export function Clients({ state }: { state: State }) {
  const isRunning = clientRows(state, state.live.receivedMs).some(({ isConnected }) => !isConnected);
  const rows = clientRows(state, useNow(isRunning ? RUNNING_MS : IDLE_MS));
  const scaleMs = barScale(rows);
  return (
    <section class="clients" aria-labelledby="clients-title">
      <h2 id="clients-title">Clients and their last downtime</h2>
      <table>
        <thead class="hidden">
          <tr>
            <th scope="col">Client</th>
            <th scope="col" colSpan={2}>
              Last downtime
            </th>
            <th scope="col">State and longest downtime</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <Row key={row.name} row={row} scaleMs={scaleMs} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** The downtime of a full bar: the same in most cases, so that the bars of two kills are comparable. */
export function barScale(rows: readonly ClientRow[]): number {
  const longest = Math.max(0, ...rows.map(({ downtimeMs }) => downtimeMs ?? 0));
  let scaleMs = BAR_MS;
  while (scaleMs < longest) {
    scaleMs *= 2;
  }
  return scaleMs;
}

function Row({ row, scaleMs }: { row: ClientRow; scaleMs: number }) {
  const { name, isConnected, downtimeMs } = row;
  return (
    <tr class={isConnected ? "" : "disconnected"}>
      <th scope="row">
        <span class="dot" aria-hidden="true" />
        {name}
      </th>
      <td class="bar">
        <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
          <rect class="track" width="100" height="8" rx="2" />
          <rect class="fill" width={((downtimeMs ?? 0) / scaleMs) * 100} height="8" rx="2" />
        </svg>
      </td>
      <td class="downtime">{downtimeMs === null ? "none" : duration(downtimeMs)}</td>
      <td class="state">
        <ClientState row={row} />
      </td>
    </tr>
  );
}

/** The classes `wide` and `medium` mark words that a narrower list hides. */
function ClientState({ row }: { row: ClientRow }) {
  const { isConnected, status, nextAttemptInMs, maxMs } = row;
  if (nextAttemptInMs !== null) {
    return (
      <>
        <span class="medium">next attempt </span>in {(nextAttemptInMs / 1_000).toFixed(1)} s
      </>
    );
  }
  if (!isConnected || maxMs === null || maxMs === 0) {
    return <>{status}</>;
  }
  return (
    <>
      <span class="wide">{status}, </span>
      <span class="medium">longest {duration(maxMs)}</span>
    </>
  );
}
