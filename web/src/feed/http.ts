// The HTTP requests to the demo's server. Each request has a timeout, and each response is validated.

import type { Config, Report } from "../state/model";
import type { Picture } from "../state/replica";
import * as parse from "./parse";

/** The timeout of a request. It is short, because the server runs on the same machine or network. */
const TIMEOUT_MS = 5_000;

async function send(path: string, method: "GET" | "POST"): Promise<Response> {
  return fetch(path, { method, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
}

async function get(path: string): Promise<unknown> {
  const response = await send(path, "GET");
  if (!response.ok) {
    throw new Error(`${path} returned HTTP status ${response.status}`);
  }
  return response.json();
}

function valid<T>(value: T | null, path: string): T {
  if (value === null) {
    throw new Error(`${path} returned an invalid response`);
  }
  return value;
}

export async function config(): Promise<Config> {
  return valid(parse.config(await get("demo/config")), "demo/config");
}

export async function picture(size: Config): Promise<Picture> {
  return valid(parse.picture(await get("demo/picture"), size), "demo/picture");
}

export async function live(): Promise<Report> {
  return valid(parse.report(await get("demo/live")), "demo/live");
}

/** Why the gateway was not killed; `isTransient` when a later request may succeed. */
export interface Rejection {
  readonly reason: string;
  readonly isTransient: boolean;
}

/** Returns null when the gateway was killed. */
export async function kill(): Promise<Rejection | null> {
  const response = await send("demo/kill", "POST");
  switch (response.status) {
    case 202:
      return null;
    case 403:
      return { reason: "Killing the gateway is disabled in this demo.", isTransient: false };
    case 409:
      return { reason: "The gateway is already down. It restarts automatically.", isTransient: true };
    default:
      return { reason: `The demo's server returned HTTP status ${response.status}.`, isTransient: true };
  }
}
