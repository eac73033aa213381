// The button that kills the gateway, and the result.

import { count, duration } from "../state/format";
import type { Kill } from "../state/kill";
import type { Outage, Report } from "../state/model";
import { useNow } from "./now";

interface Props {
  readonly kill: Kill;
  readonly outage: Outage;
  readonly report: Report | null;
  readonly requestKill: () => void;
}

export function KillPanel({ kill, outage, report, requestKill }: Props) {
  const isBusy = kill.kind === "requested" || kill.kind === "recovering" || report?.gateway.state !== "up";
  return (
    <section class="kill" aria-labelledby="kill-title">
      <div class="kill-head">
        <div>
          <h2 id="kill-title">
            The gateway is <GatewayState report={report} />
          </h2>
          <p class="dim">
            All clients on this page connect to one gateway process. Kill it, and it is restarted.
          </p>
        </div>
        {/* `aria-disabled` instead of `disabled`, so that the button keeps the keyboard focus. */}
        <button type="button" class="danger" aria-disabled={isBusy} onClick={() => !isBusy && requestKill()}>
          Kill the gateway
        </button>
      </div>
      <div data-testid="verdict" data-kill={kill.kind}>
        {/* Only the result is announced: a screen reader would read the running durations continuously. */}
        <div role="status">
          <Result kill={kill} />
        </div>
        <Progress kill={kill} outage={outage} />
      </div>
    </section>
  );
}

function GatewayState({ report }: { report: Report | null }) {
  const state = report?.gateway.state ?? "unknown";
  return (
    <span class={`state ${state === "up" ? "good" : "bad"}`}>
      {state === "starting" ? "restarting" : state}
    </span>
  );
}

function Result({ kill }: { kill: Kill }) {
  switch (kill.kind) {
    case "idle":
    case "requested":
    case "recovering":
      return null;
    case "rejected":
      return <p class="verdict bad">{kill.reason}</p>;
    case "finished":
      return (
        <p class="verdict">
          <Verdict kill={kill} />
        </p>
      );
  }
}

function Progress({ kill, outage }: { kill: Kill; outage: Outage }) {
  switch (kill.kind) {
    case "idle":
    case "rejected":
      return null;
    case "requested":
      return <p class="verdict">Killing…</p>;
    case "recovering":
      return (
        <>
          <p class="verdict">{progress(kill)}</p>
          <Downtimes kill={kill} outage={outage} />
        </>
      );
    case "finished":
      return <Downtimes kill={kill} outage={outage} />;
  }
}

type StartedKill = Extract<Kill, { readonly kind: "recovering" | "finished" }>;

function Downtimes({ kill, outage }: { kill: StartedKill; outage: Outage }) {
  const now = useNow(200);
  const own = outage.sinceMs === null ? outage.lastMs : now - outage.sinceMs;
  const longest = Math.max(1, own ?? 0, ...kill.clients.map(({ downtimeMs }) => downtimeMs ?? 0));
  return (
    <ul class="downtimes">
      {kill.clients.map(({ name, downtimeMs, hasReconnected }) => (
        <DowntimeRow
          key={name}
          name={name}
          ms={downtimeMs}
          hasReconnected={hasReconnected}
          longest={longest}
        />
      ))}
      {outage.count > kill.outagesBefore && (
        <DowntimeRow name="this page" ms={own} hasReconnected={outage.sinceMs === null} longest={longest} />
      )}
    </ul>
  );
}

function progress({ clients, undelivered }: StartedKill): string {
  const reconnected = clients.filter(({ hasReconnected }) => hasReconnected).length;
  return `${reconnected} of ${count(clients.length, "client")} reconnected, ${count(undelivered, "pixel")} undelivered…`;
}

function Verdict({ kill }: { kill: StartedKill }) {
  const all = kill.clients.length;
  const missing = kill.clients.filter(({ hasReconnected }) => !hasReconnected).map(({ name }) => name);
  return (
    <>
      {kill.outageMs !== null && <>The gateway was down for {duration(kill.outageMs)}. </>}
      {missing.length === 0 ? (
        <b class="good">All {count(all, "client")} reconnected.</b>
      ) : (
        <b class="bad">
          {missing.length} of {count(all, "client")} did not reconnect: {missing.join(", ")}.
        </b>
      )}{" "}
      <b class={kill.lost === 0 && kill.undelivered === 0 ? "good" : "bad"}>
        {kill.lost} acknowledged {kill.lost === 1 ? "pixel was" : "pixels were"} lost
        {kill.undelivered > 0 && `, ${kill.undelivered} not delivered yet`}.
      </b>
    </>
  );
}

interface DowntimeRowProps {
  readonly name: string;
  readonly ms: number | null;
  readonly hasReconnected: boolean;
  readonly longest: number;
}

function DowntimeRow({ name, ms, hasReconnected, longest }: DowntimeRowProps) {
  return (
    <li class={hasReconnected ? "connected" : "disconnected"}>
      <span class="client">{name}</span>
      <span class="bar">
        <i style={{ "--part": (ms ?? 0) / longest }} />
      </span>
      <span class="ms">{ms === null ? "…" : duration(ms)}</span>
    </li>
  );
}
