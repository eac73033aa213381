// The browser's storage for tests, which two tabs may share.

import type { Drawer } from "../../src/feed/shelf";

export class MapDrawer implements Drawer {
  readonly entries = new Map<string, string>();
  /** Entries beyond which it is full. */
  room = Number.POSITIVE_INFINITY;
  /** True when it takes nothing at all. */
  isFrozen = false;

  get length(): number {
    return this.entries.size;
  }

  key(index: number): string | null {
    return [...this.entries.keys()][index] ?? null;
  }

  getItem(entry: string): string | null {
    return this.entries.get(entry) ?? null;
  }

  setItem(entry: string, value: string): void {
    if (this.isFrozen || (!this.entries.has(entry) && this.entries.size >= this.room)) {
      throw new DOMException("full", "QuotaExceededError");
    }
    this.entries.set(entry, value);
  }

  removeItem(entry: string): void {
    this.entries.delete(entry);
  }
}
