// The button that kills the gateway, and what came of it.

import type { Kill } from "../state/kill";
import type { Outage, Report } from "../state/model";
import { count, duration } from "../state/words";
import { useNow } from "./now";

interface Props {
  readonly kill: Kill;
  readonly outage: Outage;
  readonly report: Report | null;
  readonly ask: () => void;
}

export function KillBox({ kill, outage, report, ask }: Props) {
  const isBusy = kill.kind === "asked" || kill.kind === "watching" || report?.gateway.state !== "up";
  return (
    <section class="kill" aria-labelledby="kill-title">
      <div class="kill-head">
        <div>
          <h2 id="kill-title">
            The gateway is <GatewayState report={report} />
          </h2>
          <p class="dim">
            Every line here goes through one process. Kill it without warning, and it is started again.
          </p>
        </div>
        {/* Not disabled: a button that loses the focus while it works is lost to the keyboard. */}
        <button type="button" class="danger" aria-disabled={isBusy} onClick={() => !isBusy && ask()}>
          Kill the gateway
        </button>
      </div>
      <div role="status" data-testid="verdict" data-kill={kill.kind}>
        <Result kill={kill} outage={outage} />
      </div>
    </section>
  );
}

function GatewayState({ report }: { report: Report | null }) {
  const state = report?.gateway.state ?? "unknown";
  return (
    <span class={`state ${state === "up" ? "good" : "bad"}`}>
      {state === "starting" ? "starting again" : state}
    </span>
  );
}

function Result({ kill, outage }: { kill: Kill; outage: Outage }) {
  switch (kill.kind) {
    case "idle":
      return null;
    case "asked":
      return <p class="verdict">Killing…</p>;
    case "refused":
      return <p class="verdict bad">{kill.reason}</p>;
    case "watching":
    case "over":
      return <Watched kill={kill} outage={outage} />;
  }
}

type Ran = Extract<Kill, { readonly kind: "watching" | "over" }>;

function Watched({ kill, outage }: { kill: Ran; outage: Outage }) {
  const out = kill.watched.filter((one) => !one.isBack);
  const now = useNow(200);
  const own = outage.sinceMs === null ? outage.lastMs : now - outage.sinceMs;
  const longest = Math.max(1, own ?? 0, ...kill.watched.map((one) => one.outMs ?? 0));
  return (
    <>
      <p class="verdict">
        {kill.kind === "over" ? (
          <Verdict kill={kill} out={out.map((one) => one.name)} />
        ) : (
          progress(kill, out.length)
        )}
      </p>
      <ul class="outs">
        {kill.watched.map((one) => (
          <Out key={one.name} name={one.name} ms={one.outMs} isBack={one.isBack} longest={longest} />
        ))}
        {outage.count > kill.cutsBefore && (
          <Out name="this page" ms={own} isBack={outage.sinceMs === null} longest={longest} />
        )}
      </ul>
    </>
  );
}

function progress(kill: Ran, out: number): string {
  const back = kill.watched.length - out;
  return `${back} of ${count(kill.watched.length, "client")} back, ${count(kill.owed, "pixel")} owed…`;
}

function Verdict({ kill, out }: { kill: Ran; out: readonly string[] }) {
  const all = kill.watched.length;
  return (
    <>
      {kill.outageMs !== null && <>The gateway was dead for {duration(kill.outageMs)}. </>}
      {out.length === 0 ? (
        <b class="good">All {count(all, "client")} came back.</b>
      ) : (
        <b class="bad">
          {out.length} of {count(all, "client")} did not come back: {out.join(", ")}.
        </b>
      )}{" "}
      <b class={kill.lost === 0 && kill.owed === 0 ? "good" : "bad"}>
        {kill.lost} acknowledged {kill.lost === 1 ? "pixel was" : "pixels were"} lost
        {kill.owed > 0 && `, ${kill.owed} still owed`}.
      </b>
    </>
  );
}

interface OutProps {
  readonly name: string;
  readonly ms: number | null;
  readonly isBack: boolean;
  readonly longest: number;
}

function Out({ name, ms, isBack, longest }: OutProps) {
  return (
    <li class={isBack ? "back" : "out"}>
      <span class="who">{name}</span>
      <span class="bar">
        <i style={{ "--part": (ms ?? 0) / longest }} />
      </span>
      <span class="ms">{ms === null ? "…" : duration(ms)}</span>
    </li>
  );
}
