// The live report: the state of the gateway and the demo's clients, and the button that kills the gateway.

import type { Config, Report } from "../state/model";
import type { State } from "../state/state";
import { Clients } from "./clients";
import { Disconnects } from "./disconnects";
import { KillPanel } from "./kill";
import { Spark } from "./spark";

interface Props {
  readonly state: State;
  readonly config: Config;
  readonly kill: () => void;
}

export function Live({ state, config, kill }: Props) {
  const { report, isStale, rates } = state.live;
  return (
    <section class={`live ${isStale ? "stale" : ""}`} aria-label="Live">
      {config.isKillAllowed && (
        <KillPanel kill={state.kill} outage={state.outage} report={report} requestKill={kill} />
      )}
      {report === null ? (
        <p class="dim">Waiting for the first report from the demo's server.</p>
      ) : (
        <>
          <Tiles report={report} rates={rates} />
          <Clients clients={report.clients} />
          <Disconnects disconnects={report.disconnects} nowMs={report.nowMs} />
        </>
      )}
      {isStale && (
        <p role="status" class="bad">
          The demo's server does not respond; these numbers are outdated.
        </p>
      )}
    </section>
  );
}

function Tiles({ report, rates }: { report: Report; rates: readonly number[] }) {
  return (
    <dl class="tiles">
      <Tile name="Messages per second" value={report.messagesPerSecond.toFixed(0)}>
        <Spark values={rates} />
      </Tile>
      <Tile name="Connections" value={formatInteger(report.connections)} />
      <Tile name="Resumes" value={formatInteger(report.resumes)} />
      <Tile name="Acknowledged" value={formatInteger(report.acked)} />
      <Tile name="Undelivered" value={formatInteger(report.undelivered)} />
      <Tile name="Lost" value={formatInteger(report.lost)} tone={report.lost === 0 ? "good" : "bad"} />
    </dl>
  );
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
