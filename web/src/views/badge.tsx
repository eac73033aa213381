// The connection of this page, in one line: what it is, and when the next try comes.

import type { Link, Outage } from "../state/model";
import { duration, secondsUntil } from "../state/words";
import { useNow } from "./now";

interface Props {
  readonly link: Link;
  readonly outage: Outage;
  readonly tryNow: () => void;
}

export function Badge({ link, outage, tryNow }: Props) {
  const canTry = link.kind === "stopped" || (link.kind === "reconnecting" && link.nextTryMs !== null);
  return (
    <div class={`badge ${link.kind}`} data-testid="badge" data-link={link.kind}>
      <span class="dot" aria-hidden="true" />
      {/* Told once for each state: a countdown that is read aloud would never be silent. */}
      <span role="status" class="label">
        {LABELS[link.kind]}
      </span>
      <span class="detail">
        <Detail link={link} outage={outage} />
      </span>
      {canTry && (
        <button type="button" class="quiet" onClick={tryNow}>
          Try now
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
      return outage.lastMs === null ? null : <>was out {duration(outage.lastMs)}</>;
    case "reconnecting":
      return link.nextTryMs === null ? (
        <>try {link.attempt} now</>
      ) : (
        <Countdown {...link} nextTryMs={link.nextTryMs} />
      );
    case "offline":
      return <>no network; drawing is kept</>;
    case "stopped":
      return <>{link.cause}</>;
  }
}

function Countdown({ attempt, nextTryMs }: { attempt: number; nextTryMs: number }) {
  const now = useNow(100);
  return (
    <>
      try {attempt} in <b>{secondsUntil(nextTryMs, now)} s</b>
    </>
  );
}
