// What the browser remembers between visits, and the random names and keys that this page makes.

import type { Drawer } from "./shelf";

const NAME = "steadfast.name";
const COLOR = "steadfast.color";
const TAB = "steadfast.tab";

/** The browser's storage; null where it is forbidden. */
export function drawer(): Drawer | null {
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

function keep(entry: string, value: string): void {
  try {
    window.localStorage.setItem(entry, value);
  } catch {
    // Forbidden or full: a name is not worth a message.
  }
}

export function name(): string {
  const kept = read(NAME);
  if (kept !== null && kept !== "") {
    return kept;
  }
  const made = newName();
  keep(NAME, made);
  return made;
}

export function keepName(value: string): void {
  keep(NAME, value);
}

export function color(): number {
  const kept = Number.parseInt(read(COLOR) ?? "", 10);
  return kept >= 0 && kept < 256 ? kept : 5;
}

export function keepColor(value: number): void {
  keep(COLOR, String(value));
}

export function newName(): string {
  return `Guest ${100 + Math.floor(Math.random() * 900)}`;
}

/** The same over a reload, so that a page need not wait for claims of its former self. */
export function tab(): string {
  try {
    const kept = window.sessionStorage.getItem(TAB) ?? newKey();
    window.sessionStorage.setItem(TAB, kept);
    return kept;
  } catch {
    return newKey();
  }
}

/** A UUID. `crypto.randomUUID` exists in secure contexts only, and the demo may be opened by address. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const hex = Array.from(bytes, (byte, index) => {
    const set = index === 6 ? (byte & 0x0f) | 0x40 : index === 8 ? (byte & 0x3f) | 0x80 : byte;
    return set.toString(16).padStart(2, "0");
  }).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/u, "$1-$2-$3-$4-$5");
}
