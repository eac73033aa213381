// The state of the gateway, the button that kills it, and the result.

import { count, duration } from "../state/format";
import type { Kill, Recovery } from "../state/kill";
import { canKill, type ShownGateway, shownGateway } from "../state/live";
import type { State } from "../state/state";

interface Props {
  readonly state: State;
  readonly isKillAllowed: boolean;
  readonly requestKill: () => void;
}

export function KillPanel({ state, isKillAllowed, requestKill }: Props) {
  const isBusy = !canKill(state);
  const shown = shownGateway(state);
  // The last result may be outdated, and is shown again with the next report.
  const isKnown = shown !== "unreachable";
  return (
    <section class="kill" aria-labelledby="kill-title">
      <div class="kill-head">
        <h2 id="kill-title" data-testid="gateway" data-state={shown}>
          <span class={`dot ${TONES[shown]}`} aria-hidden="true" />
          {TEXTS[shown]}
        </h2>
        {/* `aria-disabled` instead of `disabled`, so that the button keeps the keyboard focus. */}
        {isKillAllowed && (
          <button
            type="button"
            class="danger"
            aria-disabled={isBusy}
            onClick={() => !isBusy && requestKill()}
          >
            Kill the gateway
          </button>
        )}
      </div>
      <div class="verdict" data-testid="verdict" data-kill={state.kill.kind}>
        {/* Only the result is announced: a screen reader would read the running numbers continuously. */}
        <div role="status">{isKnown && <Result kill={state.kill} />}</div>
        {isKnown && <Progress kill={state.kill} isKillAllowed={isKillAllowed} />}
      </div>
    </section>
  );
}

const TEXTS: Readonly<Record<ShownGateway, string>> = {
  up: "The gateway is up",
  unresponsive: "The gateway does not respond",
  down: "The gateway is down",
  starting: "The gateway is starting",
  unknown: "The state of the gateway is unknown",
  unreachable: "The demo does not respond",
  killing: "The gateway is being killed",
  checking: "Checking the gateway",
  restarted: "The gateway has restarted",
};

const TONES: Readonly<Record<ShownGateway, "good" | "warn" | "bad">> = {
  up: "good",
  unresponsive: "bad",
  down: "bad",
  starting: "warn",
  unknown: "warn",
  unreachable: "bad",
  killing: "bad",
  checking: "warn",
  restarted: "good",
};

function Result({ kill }: { kill: Kill }) {
  switch (kill.kind) {
    case "idle":
    case "requested":
    case "recovering":
      return null;
    case "rejected":
      return <p class="bad">{kill.reason}</p>;
    case "finished":
      return (
        <p>
          <Verdict kill={kill} />
        </p>
      );
  }
}

function Progress({ kill, isKillAllowed }: { kill: Kill; isKillAllowed: boolean }) {
  switch (kill.kind) {
    case "rejected":
    case "finished":
      return null;
    case "idle":
      return (
        <p class="dim">
          All clients of this page connect to one gateway process.{" "}
          {isKillAllowed ? "Kill it while you draw: it is restarted" : "When it ends, it is restarted"}, and
          nothing that it acknowledged is lost.
        </p>
      );
    case "requested":
      return <p>The gateway is being killed…</p>;
    case "recovering":
      return <p>{progress(kill)}</p>;
  }
}

function progress({ clients, undelivered }: Recovery): string {
  const reconnected = clients.filter(({ hasReconnected }) => hasReconnected).length;
  const waiting = undelivered === 0 ? "" : `, ${count(undelivered, "pixel")} not delivered yet`;
  return `${reconnected} of ${count(clients.length, "client")} reconnected${waiting}…`;
}

function Verdict({ kill }: { kill: Recovery }) {
  const all = kill.clients.length;
  const missing = kill.clients.filter(({ hasReconnected }) => !hasReconnected).map(({ name }) => name);
  return (
    <>
      {kill.outageMs !== null && <>The gateway was down for {duration(kill.outageMs)}. </>}
      {missing.length === 0 ? (
        all > 0 && <b class="good">All {count(all, "client")} reconnected.</b>
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
