// The state of this page's connection in one line, and when the next attempt starts.

import { duration, secondsUntil } from "../state/format";
import type { Link, Outage } from "../state/model";
import { useNow } from "./now";

interface Props {
  readonly link: Link;
  readonly outage: Outage;
  readonly reconnectNow: () => void;
}

export function Badge({ link, outage, reconnectNow }: Props) {
  const isWaiting =
    (link.kind === "reconnecting" || link.kind === "offline") && link.nextAttemptAtMs !== null;
  const canRetry = link.kind === "stopped" || isWaiting;
  return (
    <div class={`badge ${link.kind}`} data-testid="badge" data-link={link.kind}>
      <span class="dot" aria-hidden="true" />
      {/* Announced once per state: a screen reader would read a countdown continuously. */}
      <span role="status" class="label">
        {LABELS[link.kind]}
      </span>
      <span class="detail">
        <Detail link={link} outage={outage} />
      </span>
      {canRetry && (
        <button type="button" class="quiet" onClick={reconnectNow}>
          Retry now
        </button>
      )}
    </div>
  );
}

const LABELS: Readonly<Record<Link["kind"], string>> = {
  connecting: "Connecting",
  connected: "Connected",
  reconnecting: "Reconnecting",
  offline: "Offline",
  stopped: "Stopped",
};

function Detail({ link, outage }: { link: Link; outage: Outage }) {
  switch (link.kind) {
    case "connecting":
      return null;
    case "connected":
      return outage.lastMs === null ? null : <>last outage {duration(outage.lastMs)}</>;
    case "reconnecting":
      return link.nextAttemptAtMs === null ? (
        <>attempt {link.attempt} in progress</>
      ) : (
        <Countdown {...link} nextAttemptAtMs={link.nextAttemptAtMs} />
      );
    case "offline":
      return <>the browser reports no network; drawn pixels are queued</>;
    case "stopped":
      return <>{link.cause}</>;
  }
}

function Countdown({ attempt, nextAttemptAtMs }: { attempt: number; nextAttemptAtMs: number }) {
  const now = useNow(100);
  return (
    <>
      attempt {attempt} in <b>{secondsUntil(nextAttemptAtMs, now)} s</b>
    </>
  );
}
