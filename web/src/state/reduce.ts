// The one place where state changes: a fact that happened, and the state after it.

import type { Picture, Placed } from "./follow";
import * as follow from "./follow";
import * as kill from "./kill";
import type { Acked, Cell, Config, Item, Link, Notice, Person, Position, Report } from "./model";
import { ACKED_MAX, unseen } from "./queue";
import { NOTICES_MAX, PEOPLE_MAX, RATES_MAX, type State } from "./state";

export type Fact =
  | { readonly type: "configured"; readonly config: Config }
  | { readonly type: "troubled"; readonly reason: string }
  | { readonly type: "named"; readonly name: string }
  | { readonly type: "colorChosen"; readonly color: number }
  | { readonly type: "cursorMoved"; readonly cell: Cell }
  | {
      readonly type: "linkChanged";
      readonly link: Link;
      readonly self: string | null;
      readonly nowMs: number;
    }
  | { readonly type: "pictureLoaded"; readonly picture: Picture; readonly nowMs: number }
  | {
      readonly type: "subscribed";
      readonly at: Position;
      readonly isRecovered: boolean;
      readonly nowMs: number;
    }
  | { readonly type: "published"; readonly placed: Placed }
  | { readonly type: "queueChanged"; readonly items: readonly Item[]; readonly isKept: boolean }
  | { readonly type: "acknowledged"; readonly pixel: Acked }
  | { readonly type: "noticed"; readonly text: string; readonly tone: Notice["tone"] }
  | { readonly type: "noticeClosed"; readonly id: number }
  | { readonly type: "presenceTold"; readonly people: readonly Person[] }
  | { readonly type: "joined"; readonly person: Person }
  | { readonly type: "left"; readonly client: string }
  | { readonly type: "reported"; readonly report: Report; readonly nowMs: number }
  | { readonly type: "reportMissed" }
  | { readonly type: "killAsked" }
  | { readonly type: "killed"; readonly nowMs: number }
  | { readonly type: "killRefused"; readonly reason: string };

export function reduce(state: State, fact: Fact): State {
  switch (fact.type) {
    case "configured":
      return configure(state, fact.config);
    case "troubled":
      return { ...state, trouble: fact.reason };
    case "named":
      return { ...state, name: fact.name };
    case "colorChosen":
      return { ...state, color: fact.color };
    case "cursorMoved":
      return { ...state, cursor: fact.cell };
    case "linkChanged":
      return changeLink(state, fact.link, fact.self, fact.nowMs);
    case "pictureLoaded":
      return settle(withFollow(state, follow.loaded(state.follow, fact.picture)), fact.nowMs);
    case "subscribed":
      return settle(
        withFollow(state, follow.subscribed(state.follow, fact.at, fact.isRecovered)),
        fact.nowMs,
      );
    case "published":
      return withFollow(state, follow.published(state.follow, fact.placed));
    case "queueChanged":
      return { ...state, queue: fact.items, isKept: fact.isKept };
    case "acknowledged":
      return acknowledge(state, fact.pixel);
    case "noticed":
      return notice(state, fact.text, fact.tone);
    case "noticeClosed":
      return { ...state, notices: state.notices.filter((one) => one.id !== fact.id) };
    case "presenceTold":
      return { ...state, people: byClient(fact.people) };
    case "joined":
      return { ...state, people: byClient([...state.people.values(), fact.person]) };
    case "left":
      return {
        ...state,
        people: byClient([...state.people.values()].filter((one) => one.client !== fact.client)),
      };
    case "reported":
      return report(state, fact.report, fact.nowMs);
    case "reportMissed":
      return { ...state, live: { ...state.live, isStale: true } };
    case "killAsked":
      return {
        ...state,
        kill: { kind: "asked", before: state.live.report, cutsBefore: state.outage.count },
      };
    case "killed":
      return killed(state, fact.nowMs);
    case "killRefused":
      return { ...state, kill: { kind: "refused", reason: fact.reason } };
  }
}

function configure(state: State, config: Config): State {
  const { width, height } = config;
  return {
    ...state,
    config,
    trouble: null,
    color: Math.min(state.color, config.colors.length - 1),
    cursor: { x: Math.floor(width / 2), y: Math.floor(height / 2) },
    follow: follow.nothing({ width, height }),
  };
}

function changeLink(state: State, link: Link, self: string | null, nowMs: number): State {
  const { outage } = state;
  const wasConnected = state.link.kind === "connected";
  const isLost = wasConnected && link.kind !== "connected";
  const begun =
    isLost && outage.sinceMs === null ? { ...outage, sinceMs: nowMs, count: outage.count + 1 } : outage;
  return { ...state, link, self, outage: begun };
}

/** Ends an outage once the page follows the channel again with a picture that is whole. */
function settle(state: State, nowMs: number): State {
  const { outage, link, follow: followed } = state;
  if (outage.sinceMs === null || link.kind !== "connected" || followed.needed !== null) {
    return state;
  }
  return { ...state, outage: { ...outage, sinceMs: null, lastMs: nowMs - outage.sinceMs } };
}

function withFollow(state: State, next: follow.Follow): State {
  if (next === state.follow) {
    return state;
  }
  const at = next.needed === null ? next.picture : null;
  return { ...state, follow: next, acked: unseen(state.acked, at) };
}

function acknowledge(state: State, pixel: Acked): State {
  const at = state.follow.needed === null ? state.follow.picture : null;
  return { ...state, acked: unseen([...state.acked, pixel].slice(-ACKED_MAX), at) };
}

function notice(state: State, text: string, tone: Notice["tone"]): State {
  const id = state.noticeCount + 1;
  const others = state.notices.filter((one) => one.text !== text);
  return { ...state, noticeCount: id, notices: [...others, { id, text, tone }].slice(-NOTICES_MAX) };
}

function byClient(people: readonly Person[]): ReadonlyMap<string, Person> {
  return new Map(people.slice(-PEOPLE_MAX).map((person) => [person.client, person]));
}

function report(state: State, next: Report, nowMs: number): State {
  const rates = [...state.live.rates, next.messagesPerSecond].slice(-RATES_MAX);
  return {
    ...state,
    live: { report: next, isStale: false, rates },
    kill: kill.observe(state.kill, next, nowMs),
  };
}

function killed(state: State, nowMs: number): State {
  if (state.kill.kind !== "asked" || state.kill.before === null) {
    return { ...state, kill: { kind: "refused", reason: "Killed, but there is no report to compare with." } };
  }
  return { ...state, kill: kill.begin(state.kill.before, state.kill.cutsBefore, nowMs) };
}
