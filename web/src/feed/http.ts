// The demo server's own HTTP: each answer is parsed, each call has a deadline.

import type { Picture } from "../state/follow";
import type { Config, Report } from "../state/model";
import * as parse from "./parse";

/** The server is on this machine or near it. */
const DEADLINE_MS = 5_000;

async function ask(path: string, method: "GET" | "POST"): Promise<Response> {
  return fetch(path, { method, cache: "no-store", signal: AbortSignal.timeout(DEADLINE_MS) });
}

async function answer(path: string): Promise<unknown> {
  const response = await ask(path, "GET");
  if (!response.ok) {
    throw new Error(`${path} answered ${response.status}`);
  }
  return response.json();
}

function valid<T>(value: T | null, path: string): T {
  if (value === null) {
    throw new Error(`${path} answered something that this page does not understand`);
  }
  return value;
}

export async function config(): Promise<Config> {
  return valid(parse.config(await answer("demo/config")), "demo/config");
}

export async function picture(size: Config): Promise<Picture> {
  return valid(parse.picture(await answer("demo/picture"), size), "demo/picture");
}

export async function live(): Promise<Report> {
  return valid(parse.report(await answer("demo/live")), "demo/live");
}

/** Null when the gateway was killed, else why not. */
export async function kill(): Promise<string | null> {
  const response = await ask("demo/kill", "POST");
  switch (response.status) {
    case 202:
      return null;
    case 403:
      return "This demo does not allow it.";
    case 409:
      return "The gateway is down already; it comes back in a moment.";
    default:
      return `The demo's server answered ${response.status}.`;
  }
}
