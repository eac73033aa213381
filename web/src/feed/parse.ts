// From what came over the wire to what the page works with: checked, or null. Peers are not trusted to be right.

import type { Picture, Placed } from "../state/follow";
import type { Config, Disconnect, Item, LiveClient, Person, Pixel, Position, Report } from "../state/model";

type Fields = Readonly<Record<string, unknown>>;

function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function whole(value: unknown, below: number): number | null {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < below
    ? (value as number)
    : null;
}

/** The longest name that is shown. */
export const NAME_MAX = 24;

/** A name as it is shown: one line, not longer than fits. */
export function cleanName(name: string): string {
  return [...name.replace(/\s+/gu, " ").trim()].slice(0, NAME_MAX).join("");
}

export function config(value: unknown): Config | null {
  const from = fields(value);
  const gateway = text(from["gateway"]);
  const channel = text(from["channel"]);
  const width = whole(from["width"], 1_025);
  const height = whole(from["height"], 1_025);
  const colors = list(from["colors"]).filter((color) => /^#[0-9a-f]{6}$/iu.test(String(color)));
  if (gateway === null || channel === null || !width || !height || colors.length === 0) {
    return null;
  }
  return {
    gateway,
    channel,
    width,
    height,
    colors: colors.map(String),
    kill: from["kill"] === true,
    dedupeWindowMs: number(from["dedupe_window_ms"]) ?? 120_000,
  };
}

export function picture(value: unknown, size: Config): Picture | null {
  const from = fields(value);
  const at = position(from);
  const encoded = text(from["pixels"]);
  if (at === null || encoded === null || from["width"] !== size.width || from["height"] !== size.height) {
    return null;
  }
  try {
    const pixels = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    return pixels.length === size.width * size.height ? { ...at, pixels } : null;
  } catch {
    return null;
  }
}

export function position(value: unknown): Position | null {
  const { epoch, offset } = fields(value);
  const count = whole(offset, Number.MAX_SAFE_INTEGER);
  return typeof epoch === "string" && count !== null ? { epoch, offset: count } : null;
}

/** A publication of the channel. What is no pixel of this canvas still has its place. */
export function placed(offset: number, data: unknown, size: Config): Placed {
  return { offset, pixel: pixel(data, size) };
}

function pixel(data: unknown, size: Config): Pixel | null {
  const from = fields(data);
  const x = whole(from["x"], size.width);
  const y = whole(from["y"], size.height);
  const color = whole(from["color"], size.colors.length);
  const by = text(from["by"]);
  return x === null || y === null || color === null || by === null ? null : { x, y, color, by };
}

export function person(client: string, info: unknown): Person {
  const name = cleanName(text(fields(info)["name"]) ?? "");
  return { client, name: name || "someone" };
}

/** An item as a tab, maybe of an older version of this page, stored it. */
export function item(value: unknown): Item | null {
  const from = fields(value);
  const key = text(from["key"]);
  const by = text(from["by"]);
  const [x, y, color] = [whole(from["x"], 1_024), whole(from["y"], 1_024), whole(from["color"], 255)];
  const madeMs = number(from["madeMs"]);
  if (key === null || by === null || x === null || y === null || color === null || madeMs === null) {
    return null;
  }
  const claim = fields(from["claim"]);
  const tab = text(claim["tab"]);
  const untilMs = number(claim["untilMs"]);
  return {
    ...{ key, by, x, y, color, madeMs },
    turn: number(from["turn"]) ?? 0,
    sentMs: number(from["sentMs"]),
    claim: tab === null || untilMs === null ? null : { tab, untilMs },
  };
}

export function report(value: unknown): Report | null {
  const from = fields(value);
  const nowMs = number(from["now_ms"]);
  if (nowMs === null) {
    return null;
  }
  const gateway = fields(from["gateway"]);
  return {
    nowMs,
    gateway: {
      state: text(gateway["state"]) ?? "unknown",
      kills: number(gateway["kills"]) ?? 0,
      downSinceMs: number(gateway["down_since_ms"]),
      lastOutageMs: number(gateway["last_outage_ms"]),
    },
    connections: number(from["connections"]) ?? 0,
    messagesPerSecond: number(from["messages_per_second"]) ?? 0,
    resumes: number(from["resumes"]) ?? 0,
    clients: list(from["clients"]).map(liveClient),
    owed: number(from["owed"]) ?? 0,
    lost: number(from["lost"]) ?? 0,
    acked: number(from["acked"]) ?? 0,
    duplicated: number(from["duplicated"]) ?? 0,
    disconnects: list(from["disconnects"]).map(disconnect),
  };
}

function liveClient(value: unknown): LiveClient {
  const from = fields(value);
  return {
    name: text(from["name"]) ?? "?",
    state: text(from["state"]) ?? "unknown",
    attempt: number(from["attempt"]) ?? 0,
    nextTryMs: number(from["next_try_ms"]),
    outMs: number(from["out_ms"]) ?? 0,
    lastOutMs: number(from["last_out_ms"]),
    outMaxMs: number(from["out_max_ms"]),
    resumed: number(from["resumed"]) ?? 0,
    owed: number(from["owed"]) ?? 0,
    lost: number(from["lost"]) ?? 0,
    acked: number(from["acked"]) ?? 0,
    pending: number(from["pending"]) ?? 0,
  };
}

function disconnect(value: unknown): Disconnect {
  const from = fields(value);
  return {
    atMs: number(from["at_ms"]) ?? 0,
    client: text(from["client"]) ?? "?",
    cause: text(from["cause"]) ?? "unknown",
    code: number(from["code"]),
    outMs: number(from["out_ms"]),
  };
}
