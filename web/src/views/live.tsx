// The live report: the numbers, the clients, and the last disconnects.

import { type ShownGateway, shownGateway } from "../state/live";
import type { Report } from "../state/model";
import type { State } from "../state/state";
import { Clients } from "./clients";
import { Disconnects } from "./disconnects";
import { Spark } from "./spark";

export function Live({ state }: { state: State }) {
  const { report, isStale, rates } = state.live;
  return (
    <section class={`live ${isStale ? "stale" : ""}`} aria-label="Live">
      {report === null ? (
        <p class="dim">Waiting for the first report from the demo's server.</p>
      ) : (
        <>
          <Clients state={state} />
          <Tiles report={report} rates={rates} gateway={shownGateway(state)} />
          <Disconnects disconnects={report.disconnects} nowMs={report.nowMs} />
        </>
      )}
    </section>
  );
}

interface TilesProps {
  readonly report: Report;
  readonly rates: readonly number[];
  readonly gateway: ShownGateway;
}

function Tiles({ report, rates, gateway }: TilesProps) {
  return (
    <dl class="tiles">
      <Tile name="Messages per second" value={report.messagesPerSecond.toFixed(0)}>
        <Spark values={rates} />
      </Tile>
      <Tile name="Connections" value={connections(report, gateway)} />
      <Tile name="Resumed connections" value={formatInteger(report.resumes)} />
      <Tile name="Acknowledged pixels" value={formatInteger(report.acked)} />
      <Tile name="Not delivered yet" value={formatInteger(report.undelivered)} />
      <Tile name="Lost pixels" value={formatInteger(report.lost)} tone={report.lost === 0 ? "good" : "bad"} />
    </dl>
  );
}

function connections(report: Report, gateway: ShownGateway): string {
  switch (gateway) {
    case "unresponsive":
      return "–";
    // From the click on, before the demo's server has confirmed the kill.
    case "killing":
      return "0";
    default:
      return formatInteger(report.connections);
  }
}

interface TileProps {
  readonly name: string;
  readonly value: string;
  readonly tone?: "good" | "bad";
  readonly children?: preact.ComponentChildren;
}

function Tile({ name, value, tone, children }: TileProps) {
  return (
    <div class={`tile ${tone ?? ""}`}>
      <dt>{name}</dt>
      <dd>
        {value}
        {children}
      </dd>
    </div>
  );
}

function formatInteger(value: number): string {
  return value.toLocaleString("en");
}
