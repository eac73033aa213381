// Stores the queue in the browser's storage, with one entry per item, so that tabs never overwrite each other's items.
//
// Reads use a copy in memory, which storage events update. Before an item is sent, it is read from the storage, because
// another tab may have settled it in the meantime.

import type { Item } from "../state/model";
import { inOrder } from "../state/queue";
import * as parse from "./parse";

/** The part of the browser's `Storage` that the queue uses. */
export type StorageLike = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

export class QueueStore {
  readonly #storage: StorageLike | null;
  readonly #prefix: string;
  readonly #items = new Map<string, Item>();
  /** Keys of items that could not be stored: a reload loses them. */
  readonly #unsaved = new Set<string>();

  /** The scope separates the items of different channels. */
  constructor(storage: StorageLike | null, scope: string) {
    this.#storage = storage;
    this.#prefix = `steadfast.queue.${scope}.`;
    this.#readAll();
  }

  /** False when a reload loses drawn pixels. */
  get isPersisted(): boolean {
    return this.#storage !== null && this.#unsaved.size === 0;
  }

  items(): readonly Item[] {
    return inOrder(this.#items.values());
  }

  put(item: Item): void {
    this.#items.set(item.key, item);
    const entry = this.#prefix + item.key;
    try {
      if (this.#storage !== null) {
        this.#storage.setItem(entry, JSON.stringify(item));
        this.#unsaved.delete(item.key);
        return;
      }
    } catch {
      // The storage is full, or access is denied. The outdated entry is removed, so that no other tab uses it.
      this.#storage?.removeItem(entry);
    }
    this.#unsaved.add(item.key);
  }

  remove(key: string): void {
    this.#items.delete(key);
    this.#unsaved.delete(key);
    this.#storage?.removeItem(this.#prefix + key);
  }

  /** Reads the item from the storage; undefined when another tab settled it. */
  reload(key: string): Item | undefined {
    if (this.#unsaved.has(key)) {
      return this.#items.get(key);
    }
    const item = this.#read(this.#prefix + key);
    if (item === null) {
      this.#items.delete(key);
      return undefined;
    }
    this.#items.set(key, item);
    return item;
  }

  /** Another tab changed this entry, or all entries if it is null. Returns true if the queue may have changed. */
  onStorage(entry: string | null): boolean {
    if (entry === null) {
      for (const { key } of this.items()) {
        this.reload(key);
      }
      this.#readAll();
      return true;
    }
    if (!entry.startsWith(this.#prefix)) {
      return false;
    }
    this.reload(entry.slice(this.#prefix.length));
    return true;
  }

  #readAll(): void {
    const storage = this.#storage;
    if (storage === null) {
      return;
    }
    const entries = Array.from({ length: storage.length }, (_, index) => storage.key(index));
    for (const entry of entries) {
      if (entry?.startsWith(this.#prefix)) {
        const item = this.#read(entry);
        if (item !== null) {
          this.#items.set(item.key, item);
        }
      }
    }
  }

  #read(entry: string): Item | null {
    const text = this.#storage?.getItem(entry) ?? null;
    if (text === null) {
      return null;
    }
    try {
      const item = parse.item(JSON.parse(text));
      if (item !== null && entry === this.#prefix + item.key) {
        return item;
      }
    } catch {
      // Invalid JSON: the entry is removed below.
    }
    this.#storage?.removeItem(entry);
    return null;
  }
}
