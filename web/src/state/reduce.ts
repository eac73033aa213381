// The reducer: computes the next state from the current state and an action.

import * as kill from "./kill";
import { assumeDown, nextKill } from "./live";
import {
  type Acked,
  type Cell,
  type Config,
  type Item,
  isClear,
  type Link,
  type Notice,
  type Participant,
  type Position,
  type Report,
} from "./model";
import { noOwnPixels, type OwnPixels, withOwn } from "./own";
import { ACKED_MAX, notInPicture } from "./queue";
import type { Picture, Publication } from "./replica";
import * as replica from "./replica";
import { NOTICES_MAX, PARTICIPANTS_MAX, RATES_MAX, type State } from "./state";

export type Action =
  | { readonly type: "configured"; readonly config: Config; readonly own: OwnPixels | null }
  | { readonly type: "startFailed"; readonly reason: string }
  | { readonly type: "nameChanged"; readonly name: string }
  | { readonly type: "colorChosen"; readonly color: number }
  | { readonly type: "cursorMoved"; readonly cell: Cell }
  | {
      readonly type: "linkChanged";
      readonly link: Link;
      readonly self: string | null;
      readonly nowMs: number;
    }
  | { readonly type: "pictureLoaded"; readonly picture: Picture; readonly nowMs: number }
  | { readonly type: "pictureFailed"; readonly reason: string }
  | {
      readonly type: "subscribed";
      readonly at: Position;
      readonly isRecovered: boolean;
      readonly nowMs: number;
    }
  | { readonly type: "published"; readonly publication: Publication }
  | { readonly type: "queueChanged"; readonly items: readonly Item[]; readonly isPersisted: boolean }
  | { readonly type: "acknowledged"; readonly stroke: Acked }
  | { readonly type: "ownToggled" }
  | { readonly type: "noticeAdded"; readonly text: string; readonly tone: Notice["tone"] }
  | { readonly type: "noticeClosed"; readonly id: number }
  | { readonly type: "presenceLoaded"; readonly participants: readonly Participant[] }
  | { readonly type: "joined"; readonly participant: Participant }
  | { readonly type: "left"; readonly client: string }
  | {
      readonly type: "reported";
      readonly report: Report;
      readonly requestedMs: number;
      readonly nowMs: number;
    }
  | { readonly type: "reportFailed" }
  | { readonly type: "killRequested" }
  | { readonly type: "killed"; readonly nowMs: number }
  | { readonly type: "killRejected"; readonly reason: string; readonly isTransient: boolean };

export function reduce(state: State, action: Action): State {
  switch (action.type) {
    case "configured":
      return configure(state, action.config, action.own);
    case "startFailed":
      return { ...state, startError: action.reason };
    case "nameChanged":
      return { ...state, name: action.name };
    case "colorChosen":
      return { ...state, color: action.color };
    case "cursorMoved":
      return { ...state, cursor: action.cell };
    case "linkChanged":
      return changeLink(state, action.link, action.self, action.nowMs);
    case "pictureLoaded":
      return settle(
        { ...withReplica(state, replica.loaded(state.replica, action.picture)), pictureError: null },
        action.nowMs,
      );
    case "pictureFailed":
      return { ...state, pictureError: action.reason };
    case "subscribed":
      return settle(
        withReplica(state, replica.subscribed(state.replica, action.at, action.isRecovered)),
        action.nowMs,
      );
    case "published":
      return published(state, action.publication);
    case "queueChanged":
      return { ...state, queue: action.items, isPersisted: action.isPersisted };
    case "acknowledged":
      return acknowledge(state, action.stroke);
    case "ownToggled":
      return { ...state, isOwnHighlighted: !state.isOwnHighlighted };
    case "noticeAdded":
      return notice(state, action.text, action.tone);
    case "noticeClosed":
      return { ...state, notices: state.notices.filter((it) => it.id !== action.id) };
    case "presenceLoaded":
      return { ...state, participants: byClient(action.participants) };
    case "joined":
      return { ...state, participants: byClient([...state.participants.values(), action.participant]) };
    case "left":
      return {
        ...state,
        participants: byClient([...state.participants.values()].filter((it) => it.client !== action.client)),
      };
    case "reported":
      return report(state, action.report, action.requestedMs, action.nowMs);
    case "reportFailed":
      return { ...state, live: { ...state.live, isStale: true, upSinceMs: null } };
    case "killRequested":
      return {
        ...state,
        kill: {
          kind: "requested",
          before: state.live.report,
          pageOutagesBefore: kill.outagesBefore(state.outage),
        },
      };
    case "killed":
      return killed(state, action.nowMs);
    case "killRejected":
      return {
        ...state,
        kill: { kind: "rejected", reason: action.reason, isTransient: action.isTransient },
      };
  }
}

function configure(state: State, config: Config, own: OwnPixels | null): State {
  const { width, height } = config;
  return {
    ...state,
    config,
    startError: null,
    color: Math.min(state.color, config.colors.length - 1),
    cursor: { x: Math.floor(width / 2), y: Math.floor(height / 2) },
    replica: replica.emptyReplica({ width, height }),
    own: own?.length === width * height ? own : noOwnPixels(config),
  };
}

function changeLink(state: State, link: Link, self: string | null, nowMs: number): State {
  const { outage } = state;
  const wasConnected = state.link.kind === "connected";
  const isLost = wasConnected && link.kind !== "connected";
  const next =
    isLost && outage.sinceMs === null ? { ...outage, sinceMs: nowMs, count: outage.count + 1 } : outage;
  return { ...state, link, self, outage: next };
}

/** Ends the outage once the page is connected and its picture is current. */
function settle(state: State, nowMs: number): State {
  const { outage, link, replica: current } = state;
  if (outage.sinceMs === null || link.kind !== "connected" || current.requiredPosition !== null) {
    return state;
  }
  const lastMs = nowMs - outage.sinceMs;
  const maxMs = Math.max(outage.maxMs ?? 0, lastMs);
  return { ...state, outage: { ...outage, sinceMs: null, lastMs, maxMs } };
}

function withReplica(state: State, next: replica.Replica): State {
  if (next === state.replica) {
    return state;
  }
  const at = next.requiredPosition === null ? next.picture : null;
  return { ...state, replica: next, acked: notInPicture(state.acked, at) };
}

function published(state: State, publication: Publication): State {
  const next = withReplica(state, replica.published(state.replica, publication));
  const isCleared = publication.stroke !== null && isClear(publication.stroke);
  return isCleared ? { ...next, own: noOwnPixels(state.replica.size) } : next;
}

function acknowledge(state: State, stroke: Acked): State {
  const at = state.replica.requiredPosition === null ? state.replica.picture : null;
  return {
    ...state,
    acked: notInPicture([...state.acked, stroke].slice(-ACKED_MAX), at),
    own: withOwn(state.own, stroke, state.replica.size),
  };
}

function notice(state: State, text: string, tone: Notice["tone"]): State {
  const id = state.noticeCount + 1;
  const others = state.notices.filter((it) => it.text !== text);
  return { ...state, noticeCount: id, notices: [...others, { id, text, tone }].slice(-NOTICES_MAX) };
}

function byClient(participants: readonly Participant[]): ReadonlyMap<string, Participant> {
  return new Map(
    participants.slice(-PARTICIPANTS_MAX).map((participant) => [participant.client, participant]),
  );
}

function report(state: State, next: Report, requestedMs: number, nowMs: number): State {
  const rates = [...state.live.rates, next.messagesPerSecond].slice(-RATES_MAX);
  const nextState = nextKill(state, next, nowMs);
  const known = kill.isBefore(next, nextState) ? assumeDown(next) : next;
  const upSinceMs = known.gateway.state === "up" ? (state.live.upSinceMs ?? nowMs) : null;
  return {
    ...state,
    live: { report: known, requestedMs, receivedMs: nowMs, upSinceMs, isStale: false, rates },
    kill: nextState,
  };
}

function killed(state: State, nowMs: number): State {
  if (state.kill.kind !== "requested" || state.kill.before === null) {
    const reason = "The gateway was killed, but there is no earlier report to compare with.";
    return { ...state, kill: { kind: "rejected", reason, isTransient: true } };
  }
  const { before, pageOutagesBefore } = state.kill;
  const recovery = kill.begin(before, pageOutagesBefore, nowMs);
  const { report: current } = state.live;
  // A report that arrived before the response may already show the outage.
  const isKnown = current === null || !kill.isBefore(current, recovery);
  const live = isKnown ? state.live : { ...state.live, report: assumeDown(current), upSinceMs: null };
  return { ...state, live, kill: recovery };
}
