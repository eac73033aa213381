// What the browser stores between visits, and the random names and keys that this page generates.

import { isClear, type Stroke } from "../state/model";
import { noOwnPixels, type OwnPixels, withOwn } from "../state/own";
import type { Size } from "../state/replica";
import * as parse from "./parse";
import type { StorageLike } from "./queue-store";

const NAME = "steadfast.name";
const COLOR = "steadfast.color";
const OWN = "steadfast.own.";
const TAB = "steadfast.tab";

/** The browser's storage; null where access is denied. */
export function storage(): StorageLike | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

function read(entry: string): string | null {
  try {
    return window.localStorage.getItem(entry);
  } catch {
    return null;
  }
}

function write(entry: string, value: string): void {
  try {
    window.localStorage.setItem(entry, value);
  } catch {
    // Access is denied or the storage is full. The name, the colour and the list of own pixels are then lost at a reload,
    // without a message.
  }
}

export function name(): string {
  const stored = read(NAME);
  if (stored !== null && stored !== "") {
    return stored;
  }
  const generated = newName();
  write(NAME, generated);
  return generated;
}

export function saveName(value: string): void {
  write(NAME, value);
}

export function color(): number {
  const stored = Number.parseInt(read(COLOR) ?? "", 10);
  return stored >= 0 && stored < 256 ? stored : 5;
}

export function saveColor(value: number): void {
  write(COLOR, String(value));
}

/** The cells that the user of this browser painted; null if none are stored. */
export function own(channel: string): OwnPixels | null {
  const stored = read(OWN + channel);
  return stored === null ? null : parse.bytes(stored);
}

/** Adds a stroke to the stored cells, which all tabs share. */
export function saveOwn(channel: string, stroke: Stroke, size: Size): void {
  const stored = isClear(stroke) ? null : own(channel);
  const before = stored?.length === size.width * size.height ? stored : noOwnPixels(size);
  write(OWN + channel, btoa(String.fromCharCode(...withOwn(before, stroke, size))));
}

export function newName(): string {
  return `Guest ${100 + Math.floor(Math.random() * 900)}`;
}

/** The id of this tab. It stays the same over a reload, so that the page does not wait for its own earlier leases. */
export function tab(): string {
  try {
    const stored = window.sessionStorage.getItem(TAB) ?? newKey();
    window.sessionStorage.setItem(TAB, stored);
    return stored;
  } catch {
    return newKey();
  }
}

/** A random UUID. `crypto.randomUUID` exists only in secure contexts, but the page may be opened without HTTPS. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const hex = Array.from(bytes, (byte, index) => {
    const set = index === 6 ? (byte & 0x0f) | 0x40 : index === 8 ? (byte & 0x3f) | 0x80 : byte;
    return set.toString(16).padStart(2, "0");
  }).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/u, "$1-$2-$3-$4-$5");
}
