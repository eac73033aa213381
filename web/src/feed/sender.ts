// Sends the queue to the gateway in order, and repeats items with the same idempotency key while a repeat is safe. Each
// item is settled exactly once: acknowledged, rejected with a reason, or compared with the picture. The rules are in
// `state/queue`.

import {
  type Ack,
  type Acked,
  type Item,
  isClear,
  type Pixel,
  type Position,
  type Stroke,
} from "../state/model";
import {
  IN_FLIGHT_MAX,
  isOverdue,
  LEASE_MS,
  QUEUE_MAX,
  sendable,
  supersededBy,
  unconfirmed,
} from "../state/queue";
import { colorAt, hasReached, isForeground, type Replica } from "../state/replica";
import { delayMs } from "./backoff";
import type { PageClock } from "./clock";
import { callError } from "./connection";
import type { QueueStore } from "./queue-store";

/** The interval at which the queue is checked. */
export const POLL_MS = 500;
/** The cap of the pauses while the gateway rejects calls temporarily, which means that it is overloaded. */
const REJECTED_CAP_MS = 5_000;

export interface Transport {
  readonly isSubscribed: boolean;
  publish(data: Stroke, key: string): Promise<Ack>;
  highWatermark(): Promise<Position>;
}

/** What the sender reads and reports. */
export interface SenderContext {
  readonly replica: () => Replica;
  readonly acked: () => readonly Acked[];
  readonly queueChanged: () => void;
  readonly acknowledged: (stroke: Acked) => void;
  readonly notifyUser: (text: string) => void;
  readonly dedupWindowMs: number;
  readonly tab: string;
  readonly newKey: () => string;
  readonly random: () => number;
  readonly now: PageClock;
}

export class Sender {
  readonly #store: QueueStore;
  readonly #transport: Transport;
  readonly #context: SenderContext;
  readonly #inFlight = new Set<string>();
  #sequence = 0;
  #isVerifying = false;
  #failures = 0;
  #pausedUntilMs = 0;

  constructor(store: QueueStore, transport: Transport, context: SenderContext) {
    this.#store = store;
    this.#transport = transport;
    this.#context = context;
  }

  /** Queues pixels, except those that would change nothing. If the queue is full, the user is notified. */
  paint(pixels: readonly Pixel[]): void {
    let isFull = false;
    for (const pixel of pixels) {
      const items = this.#store.items();
      isFull = (!this.#isVisible(items, pixel) && !this.#enqueue(items, pixel)) || isFull;
    }
    if (isFull) {
      this.#context.notifyUser(
        `The queue is full (${QUEUE_MAX} pixels). You can draw again when the gateway has acknowledged some of them.`,
      );
    }
    this.#context.queueChanged();
    this.poll();
  }

  /** Queues the removal of all pixels, of all participants. Queued pixels that were never sent are dropped. */
  clear(by: string): void {
    if (!this.#enqueue(this.#store.items(), { clear: true, by })) {
      this.#context.notifyUser(
        "The canvas was not cleared: the queue is full. Clear it when the gateway is up.",
      );
    }
    this.#context.queueChanged();
    this.poll();
  }

  /** Returns false when the queue is full. */
  #enqueue(items: readonly Item[], stroke: Stroke): boolean {
    const superseded = supersededBy(items, stroke).filter((item) => !this.#inFlight.has(item.key));
    if (items.length - superseded.length >= QUEUE_MAX) {
      return false;
    }
    for (const { key } of superseded) {
      this.#store.remove(key);
    }
    this.#sequence += 1;
    const [key, createdMs, sequence] = [this.#context.newKey(), this.#context.now(), this.#sequence];
    this.#store.put({ ...stroke, key, createdMs, sequence, sentMs: null, lease: null });
    return true;
  }

  /** Sends the items that may be sent now, and verifies those that may not be repeated. */
  poll(): void {
    if (!this.#transport.isSubscribed) {
      return;
    }
    const { tab, dedupWindowMs } = this.#context;
    const now = this.#context.now();
    const items = this.#store.items();
    if (now >= this.#pausedUntilMs) {
      for (const { key } of sendable(items, tab, now, dedupWindowMs)) {
        if (this.#inFlight.size >= IN_FLIGHT_MAX) {
          break;
        }
        if (!this.#inFlight.has(key)) {
          this.#send(key, now);
        }
      }
    }
    if (items.some((item) => this.#needsVerification(item, now))) {
      void this.#verifyOverdue();
    }
  }

  #send(key: string, now: number): void {
    const { tab, dedupWindowMs } = this.#context;
    const item = this.#store.reload(key);
    if (item === undefined || sendable([item], tab, now, dedupWindowMs).length === 0) {
      this.#context.queueChanged();
      return;
    }
    // The item is stored before it is sent: a tab that reads the item later must know that it may have arrived.
    this.#store.put({ ...item, sentMs: item.sentMs ?? now, lease: { tab, untilMs: now + LEASE_MS } });
    this.#inFlight.add(key);
    this.#transport.publish(strokeOf(item), key).then(
      (ack) => this.#onAck(item, ack),
      (thrown: unknown) => this.#onError(item, thrown),
    );
  }

  #onAck(item: Item, ack: Ack): void {
    this.#failures = 0;
    this.#settle(item.key);
    const at = { epoch: ack.epoch, offset: ack.offset };
    this.#context.acknowledged({ ...strokeOf(item), key: item.key, at });
    this.poll();
  }

  #onError(item: Item, thrown: unknown): void {
    const error = callError(thrown);
    if (!error.isTemporary) {
      this.#settle(item.key);
      const what = isClear(item)
        ? "The canvas was not cleared"
        : `Your pixel at ${cellName(item)} was removed`;
      this.#context.notifyUser(`${what}: the gateway rejected it (${error.message}).`);
      return;
    }
    this.#inFlight.delete(item.key);
    const stored = this.#store.reload(item.key);
    if (stored !== undefined) {
      this.#store.put({ ...stored, lease: null });
    }
    if (error.code >= 100) {
      // The gateway rejected the call temporarily. A lost connection needs no pause, because the reconnect is a delay.
      this.#pausedUntilMs =
        this.#context.now() + delayMs(this.#failures, this.#context.random, REJECTED_CAP_MS);
      this.#failures += 1;
    }
    this.#context.queueChanged();
  }

  #settle(key: string): void {
    this.#inFlight.delete(key);
    this.#store.remove(key);
    this.#context.queueChanged();
  }

  #needsVerification(item: Item, now: number): boolean {
    return isOverdue(item, now, this.#context.dedupWindowMs) && !this.#inFlight.has(item.key);
  }

  /** Compares items that may have been applied and may not be repeated with a picture that is up to date. */
  async #verifyOverdue(): Promise<void> {
    if (this.#isVerifying) {
      return;
    }
    this.#isVerifying = true;
    try {
      const highWatermark = await this.#transport.highWatermark();
      const replica = this.#context.replica();
      if (hasReached(replica, highWatermark)) {
        this.#settleByPicture(replica);
      }
    } catch {
      // The call failed: the next poll repeats it.
    } finally {
      this.#isVerifying = false;
    }
  }

  #settleByPicture(replica: Replica): void {
    const now = this.#context.now();
    let missing = 0;
    for (const { key } of this.#store.items()) {
      const item = this.#store.reload(key);
      if (item === undefined || !this.#needsVerification(item, now)) {
        continue;
      }
      this.#store.remove(key);
      if (isClear(item)) {
        // The picture does not show it: pixels may have been drawn since.
        this.#context.notifyUser(
          "The canvas may not have been cleared: not acknowledged in time to be sent again safely.",
        );
      } else if (colorAt(replica, item.x, item.y) !== item.color) {
        missing += 1;
      }
    }
    if (missing > 0) {
      const what = missing === 1 ? "One of your pixels was" : `${missing} of your pixels were`;
      this.#context.notifyUser(
        `${what} removed: not acknowledged in time to be sent again safely, and not in the picture.`,
      );
    }
    this.#context.queueChanged();
  }

  #isVisible(items: readonly Item[], pixel: Pixel): boolean {
    const own = unconfirmed(items, this.#context.acked(), pixel);
    if (own !== undefined) {
      return own?.color === pixel.color;
    }
    const replica = this.#context.replica();
    // A pixel in the background may be replaced by a painter, so the same colour is published by the user too.
    return isForeground(replica, pixel.x, pixel.y) && colorAt(replica, pixel.x, pixel.y) === pixel.color;
  }
}

/** The published part of an item. */
function strokeOf(item: Item): Stroke {
  if (isClear(item)) {
    return { clear: true, by: item.by };
  }
  const { x, y, color, by } = item;
  return { x, y, color, by };
}

function cellName({ x, y }: Pixel): string {
  return `column ${x + 1}, row ${y + 1}`;
}
