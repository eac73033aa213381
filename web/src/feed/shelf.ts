// Keeps the queue in the browser's storage, one entry for each item, so that tabs never overwrite each other's.
//
// Reads go to memory, which the storage's events keep up to date; before an item is sent it is read from the storage
// itself, since another tab may have settled it a moment ago.

import type { Item } from "../state/model";
import { inOrder } from "../state/queue";
import * as parse from "./parse";

/** The part of the browser's storage that is used. */
export type Drawer = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

export class Shelf {
  readonly #drawer: Drawer | null;
  readonly #prefix: string;
  readonly #items = new Map<string, Item>();
  /** Items that the storage did not take: they live in this page only. */
  readonly #unkept = new Set<string>();

  /** Items of another gateway's channel are not ours to send. */
  constructor(drawer: Drawer | null, scope: string) {
    this.#drawer = drawer;
    this.#prefix = `steadfast.queue.${scope}.`;
    this.#readAll();
  }

  /** False when what is drawn does not outlive this page. */
  get isKept(): boolean {
    return this.#drawer !== null && this.#unkept.size === 0;
  }

  items(): readonly Item[] {
    return inOrder(this.#items.values());
  }

  put(item: Item): void {
    this.#items.set(item.key, item);
    const entry = this.#prefix + item.key;
    try {
      if (this.#drawer !== null) {
        this.#drawer.setItem(entry, JSON.stringify(item));
        this.#unkept.delete(item.key);
        return;
      }
    } catch {
      // Full or forbidden. What it held before must not stay: another tab would believe it.
      this.#drawer?.removeItem(entry);
    }
    this.#unkept.add(item.key);
  }

  remove(key: string): void {
    this.#items.delete(key);
    this.#unkept.delete(key);
    this.#drawer?.removeItem(this.#prefix + key);
  }

  /** The item as the storage has it now; undefined when another tab settled it. */
  fresh(key: string): Item | undefined {
    if (this.#unkept.has(key)) {
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

  /** Another tab changed this entry; null stands for all of them. True when it was about the queue. */
  onStorage(entry: string | null): boolean {
    if (entry === null) {
      for (const { key } of this.items()) {
        this.fresh(key);
      }
      this.#readAll();
      return true;
    }
    if (!entry.startsWith(this.#prefix)) {
      return false;
    }
    this.fresh(entry.slice(this.#prefix.length));
    return true;
  }

  #readAll(): void {
    const drawer = this.#drawer;
    if (drawer === null) {
      return;
    }
    const entries = Array.from({ length: drawer.length }, (_, index) => drawer.key(index));
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
    const text = this.#drawer?.getItem(entry) ?? null;
    if (text === null) {
      return null;
    }
    try {
      const item = parse.item(JSON.parse(text));
      if (item !== null && entry === this.#prefix + item.key) {
        return item;
      }
    } catch {
      // Not ours, or damaged: falls through to being removed.
    }
    this.#drawer?.removeItem(entry);
    return null;
  }
}
