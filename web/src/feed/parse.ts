// Parses untrusted input from the network and the storage: the result is a validated value, or null.

import {
  type Ack,
  CLIENT_STATES,
  type Clear,
  type Config,
  type Disconnect,
  GATEWAY_STATES,
  type Item,
  type LiveClient,
  type Participant,
  type Position,
  type Queued,
  type ReceivedPixel,
  type Report,
} from "../state/model";
import type { Picture, Publication } from "../state/replica";

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

function oneOf<T extends string>(value: unknown, allowed: readonly T[]): T | null {
  return allowed.find((candidate) => candidate === value) ?? null;
}

function integer(value: unknown, below: number): number | null {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < below
    ? (value as number)
    : null;
}

/** The maximum length of a name, in characters; a longer one is cut. */
export const NAME_MAX = 24;

/** Normalises a name: one line, at most `NAME_MAX` characters. */
export function cleanName(name: string): string {
  return [...oneLine(name)].slice(0, NAME_MAX).join("");
}

/** True when `cleanName` cuts the name. */
export function isTooLong(name: string): boolean {
  return [...oneLine(name)].length > NAME_MAX;
}

function oneLine(name: string): string {
  return name.replace(/\s+/gu, " ").trim();
}

export function config(value: unknown): Config | null {
  const input = fields(value);
  const gateway = text(input["gateway"]);
  const channel = text(input["channel"]);
  const width = integer(input["width"], 1_025);
  const height = integer(input["height"], 1_025);
  const colors = list(input["colors"]).filter((color) => /^#[0-9a-f]{6}$/iu.test(String(color)));
  const colorNames = list(input["color_names"]).flatMap((name) => text(name) ?? []);
  if (
    gateway === null ||
    !/^wss?:\/\/[^/\s]+/u.test(gateway) ||
    channel === null ||
    !width ||
    !height ||
    colors.length === 0 ||
    colorNames.length !== colors.length
  ) {
    return null;
  }
  return {
    gateway,
    port: integer(input["port"], 65_536),
    channel,
    width,
    height,
    colors: colors.map(String),
    colorNames,
    isKillAllowed: input["is_kill_allowed"] === true,
    dedupWindowMs: number(input["dedup_window_ms"]) ?? 120_000,
  };
}

export function picture(value: unknown, size: Config): Picture | null {
  const input = fields(value);
  const at = position(input);
  const pixels = bytes(input["pixels"]);
  const foreground = bytes(input["foreground"]);
  const length = size.width * size.height;
  if (at === null || input["width"] !== size.width || input["height"] !== size.height) {
    return null;
  }
  return pixels?.length === length && foreground?.length === length ? { ...at, pixels, foreground } : null;
}

/** The decoded bytes of a base64 text; null if it is invalid. */
export function bytes(value: unknown): Uint8Array | null {
  try {
    return Uint8Array.from(atob(text(value) ?? "?"), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}

export function position(value: unknown): Position | null {
  const { epoch, offset } = fields(value);
  const count = integer(offset, Number.MAX_SAFE_INTEGER);
  return typeof epoch === "string" && count !== null ? { epoch, offset: count } : null;
}

/** The acknowledgement of a publication. */
export function ack(value: unknown): Ack | null {
  const at = position(value);
  const { duplicate } = fields(value);
  return at === null || typeof duplicate !== "boolean" ? null : { ...at, isDuplicate: duplicate };
}

/** A publication of the channel. A publication that does not change this canvas still has an offset. */
export function publication(offset: number, data: unknown, size: Config): Publication {
  return { offset, stroke: stroke(data, size) };
}

function stroke(data: unknown, size: Config): ReceivedPixel | Clear | null {
  const input = fields(data);
  const x = integer(input["x"], size.width);
  const y = integer(input["y"], size.height);
  const color = integer(input["color"], size.colors.length);
  const by = text(input["by"]);
  if (by === null) {
    return null;
  }
  if (input["clear"] === true) {
    return { clear: true, by };
  }
  const isBackground = input["background"] === true;
  return x === null || y === null || color === null ? null : { x, y, color, by, isBackground };
}

export function participant(client: string, info: unknown): Participant {
  const name = cleanName(text(fields(info)["name"]) ?? "");
  return { client, name: name || "anonymous" };
}

/** An item that a tab stored, possibly a tab with an older version of this page. */
export function item(value: unknown): Item | null {
  const input = fields(value);
  const key = text(input["key"]);
  const by = text(input["by"]);
  const [x, y, color] = [
    integer(input["x"], 1_024),
    integer(input["y"], 1_024),
    integer(input["color"], 255),
  ];
  const createdMs = number(input["createdMs"]);
  if (key === null || by === null || createdMs === null) {
    return null;
  }
  const settings = queued(input, key, createdMs);
  if (input["clear"] === true) {
    return { clear: true, by, ...settings };
  }
  return x === null || y === null || color === null ? null : { x, y, color, by, ...settings };
}

function queued(input: Fields, key: string, createdMs: number): Queued {
  const lease = fields(input["lease"]);
  const tab = text(lease["tab"]);
  const untilMs = number(lease["untilMs"]);
  return {
    ...{ key, createdMs },
    sequence: number(input["sequence"]) ?? 0,
    sentMs: number(input["sentMs"]),
    lease: tab === null || untilMs === null ? null : { tab, untilMs },
  };
}

export function report(value: unknown): Report | null {
  const input = fields(value);
  const nowMs = number(input["now_ms"]);
  if (nowMs === null) {
    return null;
  }
  const gateway = fields(input["gateway"]);
  return {
    nowMs,
    startedMs: number(input["started_ms"]) ?? 0,
    gateway: {
      state: oneOf(gateway["state"], GATEWAY_STATES) ?? "unknown",
      outages: number(gateway["outages"]) ?? 0,
      downSinceMs: number(gateway["down_since_ms"]),
      lastOutageMs: number(gateway["last_outage_ms"]),
    },
    connections: number(input["connections"]) ?? 0,
    messagesPerSecond: number(input["messages_per_second"]) ?? 0,
    resumes: number(input["resumes"]) ?? 0,
    clients: list(input["clients"]).map(liveClient),
    undelivered: number(input["undelivered"]) ?? 0,
    lost: number(input["lost"]) ?? 0,
    acked: number(input["acked"]) ?? 0,
    duplicated: number(input["duplicated"]) ?? 0,
    disconnects: list(input["disconnects"]).map(disconnect),
  };
}

function liveClient(value: unknown): LiveClient {
  const input = fields(value);
  return {
    name: text(input["name"]) ?? "?",
    state: oneOf(input["state"], CLIENT_STATES) ?? "unknown",
    attempt: number(input["attempt"]) ?? 0,
    nextAttemptAtMs: number(input["next_attempt_at_ms"]),
    downtimeMs: number(input["downtime_ms"]) ?? 0,
    lastDowntimeMs: number(input["last_downtime_ms"]),
    downtimeMaxMs: number(input["downtime_max_ms"]),
    resumed: number(input["resumed"]) ?? 0,
    undelivered: number(input["undelivered"]) ?? 0,
    lost: number(input["lost"]) ?? 0,
    acked: number(input["acked"]) ?? 0,
    inFlight: number(input["in_flight"]) ?? 0,
  };
}

function disconnect(value: unknown): Disconnect {
  const input = fields(value);
  return {
    atMs: number(input["at_ms"]) ?? 0,
    client: text(input["client"]) ?? "?",
    cause: text(input["cause"]) ?? "unknown",
    code: number(input["code"]),
    downtimeMs: number(input["downtime_ms"]),
  };
}
