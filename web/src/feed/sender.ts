// Carries the queue to the gateway: sends in order, repeats with the same key while that is safe, and settles each item
// exactly once: acknowledged, refused with a reason, or judged by the picture. The rules are in `state/queue`.

import { BLANK, colorAt, type Follow, reaches } from "../state/follow";
import type { Acked, Item, Pixel, Position } from "../state/model";
import { CLAIM_MS, IN_FLIGHT_MAX, isOverdue, QUEUE_MAX, replaced, sendable, shown } from "../state/queue";
import { delayMs } from "./backoff";
import { type Ack, callError } from "./connection";
import type { Shelf } from "./shelf";

/** How often the queue is looked at when nothing else happens. */
export const LOOK_MS = 500;

export interface Wire {
  readonly isSubscribed: boolean;
  publish(data: Pixel, key: string): Promise<Ack>;
  top(): Promise<Position>;
}

/** What the sender needs to know and tells. */
export interface Desk {
  readonly follow: () => Follow;
  readonly acked: () => readonly Acked[];
  readonly queueChanged: () => void;
  readonly acknowledged: (pixel: Acked) => void;
  readonly noticed: (text: string) => void;
  readonly windowMs: number;
  readonly tab: string;
  readonly newKey: () => string;
  readonly dice: () => number;
}

export class Sender {
  readonly #shelf: Shelf;
  readonly #wire: Wire;
  readonly #desk: Desk;
  readonly #inFlight = new Set<string>();
  #turn = 0;
  #isJudging = false;
  #failures = 0;
  #pausedUntilMs = 0;

  constructor(shelf: Shelf, wire: Wire, desk: Desk) {
    this.#shelf = shelf;
    this.#wire = wire;
    this.#desk = desk;
  }

  /** Queues pixels. What would change nothing is left out; what finds no room is told. */
  paint(pixels: readonly Pixel[]): void {
    let items = this.#shelf.items();
    let left = 0;
    for (const pixel of pixels) {
      if (this.#isShown(items, pixel)) {
        continue;
      }
      const pointless = replaced(items, pixel).filter((item) => !this.#inFlight.has(item.key));
      if (items.length - pointless.length >= QUEUE_MAX) {
        left += 1;
        continue;
      }
      for (const { key } of pointless) {
        this.#shelf.remove(key);
      }
      this.#turn += 1;
      const key = this.#desk.newKey();
      this.#shelf.put({ ...pixel, key, madeMs: Date.now(), turn: this.#turn, sentMs: null, claim: null });
      items = this.#shelf.items();
    }
    if (left > 0) {
      this.#desk.noticed(
        `${QUEUE_MAX} pixels wait to be sent, which is the limit. Draw on when the gateway has taken some.`,
      );
    }
    this.#desk.queueChanged();
    this.look();
  }

  /** Sends what may be sent now, and judges what may not be sent again. */
  look(): void {
    if (!this.#wire.isSubscribed) {
      return;
    }
    const { tab, windowMs } = this.#desk;
    const now = Date.now();
    const items = this.#shelf.items();
    if (now >= this.#pausedUntilMs) {
      for (const { key } of sendable(items, tab, now, windowMs)) {
        if (this.#inFlight.size >= IN_FLIGHT_MAX) {
          break;
        }
        if (!this.#inFlight.has(key)) {
          this.#send(key, now);
        }
      }
    }
    if (items.some((item) => this.#mustBeJudged(item, now))) {
      void this.#judge();
    }
  }

  #send(key: string, now: number): void {
    const { tab, windowMs } = this.#desk;
    const item = this.#shelf.fresh(key);
    if (item === undefined || sendable([item], tab, now, windowMs).length === 0) {
      this.#desk.queueChanged();
      return;
    }
    // Written before it is sent: whoever finds it later must know that it may have arrived.
    this.#shelf.put({ ...item, sentMs: item.sentMs ?? now, claim: { tab, untilMs: now + CLAIM_MS } });
    this.#inFlight.add(key);
    const { x, y, color, by } = item;
    this.#wire.publish({ x, y, color, by }, key).then(
      (ack) => this.#onAck(item, ack),
      (thrown: unknown) => this.#onError(item, thrown),
    );
  }

  #onAck(item: Item, ack: Ack): void {
    this.#failures = 0;
    this.#settle(item.key);
    const { key, x, y, color, by } = item;
    this.#desk.acknowledged({ key, x, y, color, by, at: { epoch: ack.epoch, offset: ack.offset } });
    this.look();
  }

  #onError(item: Item, thrown: unknown): void {
    const error = callError(thrown);
    if (!error.isTemporary) {
      this.#settle(item.key);
      this.#desk.noticed(
        `Your pixel at ${place(item)} was taken back: the gateway refused it (${error.message}).`,
      );
      return;
    }
    this.#inFlight.delete(item.key);
    const known = this.#shelf.fresh(item.key);
    if (known !== undefined) {
      this.#shelf.put({ ...known, claim: null });
    }
    if (error.code >= 100) {
      // The gateway itself asks for patience; a lost connection has its own.
      this.#pausedUntilMs = Date.now() + delayMs(this.#failures, this.#desk.dice);
      this.#failures += 1;
    }
    this.#desk.queueChanged();
  }

  #settle(key: string): void {
    this.#inFlight.delete(key);
    this.#shelf.remove(key);
    this.#desk.queueChanged();
  }

  #mustBeJudged(item: Item, now: number): boolean {
    return isOverdue(item, now, this.#desk.windowMs) && !this.#inFlight.has(item.key);
  }

  /** Items that may have been applied and may not be repeated: the picture knows, once it is at the channel's top. */
  async #judge(): Promise<void> {
    if (this.#isJudging) {
      return;
    }
    this.#isJudging = true;
    try {
      const top = await this.#wire.top();
      const follow = this.#desk.follow();
      if (reaches(follow, top)) {
        this.#judgeBy(follow);
      }
    } catch {
      // Not answered: the next look asks again.
    } finally {
      this.#isJudging = false;
    }
  }

  #judgeBy(follow: Follow): void {
    const now = Date.now();
    let drawnOver = 0;
    for (const { key } of this.#shelf.items()) {
      const item = this.#shelf.fresh(key);
      if (item === undefined || !this.#mustBeJudged(item, now)) {
        continue;
      }
      this.#shelf.remove(key);
      if (colorAt(follow, item.x, item.y) !== item.color) {
        drawnOver += 1;
      }
    }
    if (drawnOver > 0) {
      const what = drawnOver === 1 ? "A pixel of yours was" : `${drawnOver} pixels of yours were`;
      this.#desk.noticed(
        `${what} taken back: sent too long ago without an answer to send again, and the picture does not show it.`,
      );
    }
    this.#desk.queueChanged();
  }

  #isShown(items: readonly Item[], pixel: Pixel): boolean {
    const over = shown(items, this.#desk.acked(), pixel);
    const color = over?.color ?? colorAt(this.#desk.follow(), pixel.x, pixel.y);
    return color !== BLANK && color === pixel.color;
  }
}

function place({ x, y }: Pixel): string {
  return `column ${x + 1}, row ${y + 1}`;
}
