// Sends the queue to the gateway in order, and repeats items with the same idempotency key while a repeat is safe. Each
// item is settled exactly once: acknowledged, rejected with a reason, or compared with the picture. The rules are in
// `state/queue`.

import type { Ack, Acked, Item, Pixel, Position } from "../state/model";
import {
  IN_FLIGHT_MAX,
  isOverdue,
  LEASE_MS,
  QUEUE_MAX,
  sendable,
  supersededBy,
  visiblePixel,
} from "../state/queue";
import { BLANK, colorAt, hasReached, type Replica } from "../state/replica";
import { delayMs } from "./backoff";
import type { PageClock } from "./clock";
import { callError } from "./connection";
import type { QueueStore } from "./queue-store";

/** The interval at which the queue is checked. */
export const POLL_MS = 500;

export interface Transport {
  readonly isSubscribed: boolean;
  publish(data: Pixel, key: string): Promise<Ack>;
  highWatermark(): Promise<Position>;
}

/** What the sender reads and reports. */
export interface SenderContext {
  readonly replica: () => Replica;
  readonly acked: () => readonly Acked[];
  readonly queueChanged: () => void;
  readonly acknowledged: (pixel: Acked) => void;
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
    let items = this.#store.items();
    let dropped = 0;
    for (const pixel of pixels) {
      if (this.#isVisible(items, pixel)) {
        continue;
      }
      const superseded = supersededBy(items, pixel).filter((item) => !this.#inFlight.has(item.key));
      if (items.length - superseded.length >= QUEUE_MAX) {
        dropped += 1;
        continue;
      }
      for (const { key } of superseded) {
        this.#store.remove(key);
      }
      this.#sequence += 1;
      const key = this.#context.newKey();
      this.#store.put({
        ...pixel,
        key,
        createdMs: this.#context.now(),
        sequence: this.#sequence,
        sentMs: null,
        lease: null,
      });
      items = this.#store.items();
    }
    if (dropped > 0) {
      this.#context.notifyUser(
        `The queue is full (${QUEUE_MAX} pixels). You can draw again when the gateway has acknowledged some of them.`,
      );
    }
    this.#context.queueChanged();
    this.poll();
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
    const { x, y, color, by } = item;
    this.#transport.publish({ x, y, color, by }, key).then(
      (ack) => this.#onAck(item, ack),
      (thrown: unknown) => this.#onError(item, thrown),
    );
  }

  #onAck(item: Item, ack: Ack): void {
    this.#failures = 0;
    this.#settle(item.key);
    const { key, x, y, color, by } = item;
    this.#context.acknowledged({ key, x, y, color, by, at: { epoch: ack.epoch, offset: ack.offset } });
    this.poll();
  }

  #onError(item: Item, thrown: unknown): void {
    const error = callError(thrown);
    if (!error.isTemporary) {
      this.#settle(item.key);
      this.#context.notifyUser(
        `Your pixel at ${cellName(item)} was removed: the gateway rejected it (${error.message}).`,
      );
      return;
    }
    this.#inFlight.delete(item.key);
    const stored = this.#store.reload(item.key);
    if (stored !== undefined) {
      this.#store.put({ ...stored, lease: null });
    }
    if (error.code >= 100) {
      // The gateway rejected the call temporarily. A lost connection needs no pause, because the reconnect is a delay.
      this.#pausedUntilMs = this.#context.now() + delayMs(this.#failures, this.#context.random);
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
      if (colorAt(replica, item.x, item.y) !== item.color) {
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
    const visible = visiblePixel(items, this.#context.acked(), pixel);
    const color = visible?.color ?? colorAt(this.#context.replica(), pixel.x, pixel.y);
    return color !== BLANK && color === pixel.color;
  }
}

function cellName({ x, y }: Pixel): string {
  return `column ${x + 1}, row ${y + 1}`;
}
