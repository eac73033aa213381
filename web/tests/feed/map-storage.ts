// An in-memory storage for tests; two tabs may share it.

import type { StorageLike } from "../../src/feed/queue-store";

export class MapStorage implements StorageLike {
  readonly entries = new Map<string, string>();
  /** The maximum number of entries. */
  capacity = Number.POSITIVE_INFINITY;
  /** True when every write fails. */
  isReadOnly = false;

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
    if (this.isReadOnly || (!this.entries.has(entry) && this.entries.size >= this.capacity)) {
      throw new DOMException("full", "QuotaExceededError");
    }
    this.entries.set(entry, value);
  }

  removeItem(entry: string): void {
    this.entries.delete(entry);
  }
}
