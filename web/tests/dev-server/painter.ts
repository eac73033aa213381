// A painter: draws slow waves, repeats a publication until it is acknowledged, and records its outages.

import { randomUUID } from "node:crypto";
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";
import { CHANNEL, HEIGHT, WIDTH } from "./application.ts";

export interface Disconnect {
  readonly at_ms: number;
  readonly client: string;
  readonly cause: string;
  readonly code: number;
  downtime_ms: number | null;
}

export class Painter {
  readonly name: string;
  readonly #client: Centrifuge;
  readonly #row: number;
  readonly acks = new Set<number>();
  readonly disconnects: Disconnect[] = [];
  #step = 0;
  #downSinceMs: number | null = null;
  #lastDowntimeMs: number | null = null;
  #downtimeMaxMs = 0;
  #resumed = 0;
  #inFlight = 0;

  constructor(url: string, number: number, everyMs: number) {
    this.name = `painter ${number}`;
    this.#row = number * 11;
    this.#client = new Centrifuge(url, {
      websocket: WebSocket,
      data: { name: this.name },
      minReconnectDelay: 200,
      maxReconnectDelay: 2_000,
    });
    this.#client.on("connecting", ({ code, reason }) => this.#onLost(code, reason));
    const canvas = this.#client.newSubscription(CHANNEL, { recoverable: true });
    canvas.on("subscribed", ({ recovered }) => this.#onSubscribed(recovered));
    canvas.subscribe();
    this.#client.connect();
    setInterval(() => void this.#draw(), everyMs);
  }

  report(received: ReadonlySet<number>, highWatermark: number): Record<string, unknown> {
    const acks = [...this.acks];
    return {
      name: this.name,
      state: this.#downSinceMs === null ? "connected" : "reconnecting",
      attempt: 0,
      next_attempt_at_ms: null,
      downtime_ms: this.#downSinceMs === null ? 0 : Date.now() - this.#downSinceMs,
      last_downtime_ms: this.#lastDowntimeMs,
      downtime_p50_ms: null,
      downtime_max_ms: this.#downtimeMaxMs,
      resumed: this.#resumed,
      undelivered: acks.filter((offset) => offset > highWatermark).length,
      lost: acks.filter((offset) => offset <= highWatermark && !received.has(offset)).length,
      acked: acks.length,
      in_flight: this.#inFlight,
    };
  }

  #onLost(code: number, cause: string): void {
    if (this.#resumed + this.acks.size > 0 && this.#downSinceMs === null) {
      this.#downSinceMs = Date.now();
      this.disconnects.unshift({
        at_ms: this.#downSinceMs,
        client: this.name,
        cause,
        code,
        downtime_ms: null,
      });
    }
  }

  #onSubscribed(isRecovered: boolean): void {
    if (this.#downSinceMs === null) {
      return;
    }
    this.#lastDowntimeMs = Date.now() - this.#downSinceMs;
    this.#downtimeMaxMs = Math.max(this.#downtimeMaxMs, this.#lastDowntimeMs);
    this.#downSinceMs = null;
    this.#resumed += isRecovered ? 1 : 0;
    const [latest] = this.disconnects;
    if (latest !== undefined) {
      latest.downtime_ms = this.#lastDowntimeMs;
    }
  }

  async #draw(): Promise<void> {
    if (this.#inFlight > 0) {
      return;
    }
    this.#inFlight = 1;
    this.#step += 1;
    const x = this.#step % WIDTH;
    const wave = Math.round(Math.sin((this.#step + this.#row * 5) / 9) * 5 + this.#row);
    const color = (Math.floor(this.#step / WIDTH) * 3 + this.#row) % 16;
    const data = { x, y: Math.min(HEIGHT - 1, Math.max(0, wave)), color, by: this.name, background: true };
    const key = randomUUID();
    while (this.#inFlight > 0) {
      try {
        await this.#client.ready();
        const { data: ack } = await this.#client.rpc("gw.publish", {
          channel: CHANNEL,
          data,
          idempotency_key: key,
        });
        this.acks.add(ack.offset);
        this.#inFlight = 0;
      } catch {
        // The publication is not acknowledged: the loop publishes it again with the same key.
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
}
