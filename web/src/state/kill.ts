// One kill of the gateway, from the press of the button to the verdict, judged from the server's books.

import type { Report } from "./model";

/** Longer than a restart and a backoff: whoever is not back by then is named. */
export const PATIENCE_MS = 30_000;

/** One client of the demo during this kill. */
export interface Watched {
  readonly name: string;
  readonly wasCut: boolean;
  readonly isBack: boolean;
  /** It was handed all that was acknowledged, at one time since it came back; others draw on, so that ends again. */
  readonly isCaughtUp: boolean;
  /** How long it was out, as far as it is known. */
  readonly outMs: number | null;
  readonly resumedBefore: number;
  readonly lastOutBefore: number | null;
}

export type Kill =
  | { readonly kind: "idle" }
  /** The last report before the press: what the kill is compared with. */
  | { readonly kind: "asked"; readonly before: Report | null; readonly cutsBefore: number }
  | { readonly kind: "refused"; readonly reason: string }
  | {
      readonly kind: "watching" | "over";
      readonly sinceMs: number;
      readonly killsBefore: number;
      /** How often this page had been cut before. */
      readonly cutsBefore: number;
      readonly watched: readonly Watched[];
      readonly lostBefore: number;
      readonly lost: number;
      readonly owed: number;
      readonly outageMs: number | null;
      /** Which drawn pixels were acknowledged since the kill. */
      readonly ackedBefore: number;
      readonly acked: number;
    };

/** The gateway is about to be dead: what follows is compared with this report. */
export function begin(report: Report, cutsBefore: number, nowMs: number): Kill {
  return {
    kind: "watching",
    sinceMs: nowMs,
    killsBefore: report.gateway.kills,
    cutsBefore,
    watched: report.clients.map((client) => ({
      name: client.name,
      wasCut: false,
      isBack: false,
      isCaughtUp: false,
      outMs: null,
      resumedBefore: client.resumed,
      lastOutBefore: client.lastOutMs,
    })),
    lostBefore: report.lost,
    lost: 0,
    owed: report.owed,
    outageMs: null,
    ackedBefore: report.acked,
    acked: 0,
  };
}

/** Takes the next report. The verdict waits until all are back and have caught up, or for the end of patience. */
export function observe(kill: Kill, report: Report, nowMs: number): Kill {
  if (kill.kind !== "watching" || report.gateway.kills <= kill.killsBefore) {
    return kill;
  }
  const watched = kill.watched.map((one) => observeOne(one, report));
  const isUp = report.gateway.state === "up";
  const isSettled = isUp && watched.every((one) => one.isCaughtUp);
  const isBehind = (name: string): boolean => watched.some((one) => one.name === name && !one.isCaughtUp);
  const isOver = isSettled || nowMs - kill.sinceMs > PATIENCE_MS;
  return {
    ...kill,
    kind: isOver ? "over" : "watching",
    watched,
    lost: report.lost - kill.lostBefore,
    owed: report.clients.reduce((sum, { name, owed }) => sum + (isBehind(name) ? owed : 0), 0),
    outageMs: isUp ? report.gateway.lastOutageMs : null,
    acked: report.acked - kill.ackedBefore,
  };
}

function observeOne(one: Watched, report: Report): Watched {
  const client = report.clients.find((candidate) => candidate.name === one.name);
  if (client === undefined) {
    return { ...one, isBack: false, isCaughtUp: false };
  }
  const isConnected = client.state === "connected";
  const cameBack = client.resumed > one.resumedBefore || client.lastOutMs !== one.lastOutBefore;
  const wasCut = one.wasCut || !isConnected || cameBack;
  // Connected is not back: the books end an outage when the channel is subscribed again and what was missed is told.
  const isBack = cameBack && isConnected && client.outMs === 0;
  const isCaughtUp = isBack && (one.isCaughtUp || client.owed === 0);
  return {
    ...one,
    wasCut,
    isBack,
    isCaughtUp,
    outMs: isBack ? client.lastOutMs : wasCut ? client.outMs : null,
  };
}
