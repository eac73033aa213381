// One painter with its books: it draws slow waves, repeats what was not acknowledged, and counts its outages.

import { randomUUID } from "node:crypto";
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";
import { CHANNEL, HEIGHT, WIDTH } from "./application.ts";

export interface Cut {
  readonly at_ms: number;
  readonly client: string;
  readonly cause: string;
  readonly code: number;
  out_ms: number | null;
}

export class Painter {
  readonly name: string;
  readonly #client: Centrifuge;
  readonly #row: number;
  readonly acks = new Set<number>();
  readonly cuts: Cut[] = [];
  #step = 0;
  #lostMs: number | null = null;
  #lastOutMs: number | null = null;
  #outMaxMs = 0;
  #resumed = 0;
  #pending = 0;

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

  row(seen: ReadonlySet<number>, top: number): Record<string, unknown> {
    const acks = [...this.acks];
    return {
      name: this.name,
      state: this.#lostMs === null ? "connected" : "reconnecting",
      attempt: 0,
      next_try_ms: null,
      out_ms: this.#lostMs === null ? 0 : Date.now() - this.#lostMs,
      last_out_ms: this.#lastOutMs,
      out_p50_ms: null,
      out_max_ms: this.#outMaxMs,
      resumed: this.#resumed,
      owed: acks.filter((offset) => offset > top).length,
      lost: acks.filter((offset) => offset <= top && !seen.has(offset)).length,
      acked: acks.length,
      pending: this.#pending,
    };
  }

  #onLost(code: number, cause: string): void {
    if (this.#resumed + this.acks.size > 0 && this.#lostMs === null) {
      this.#lostMs = Date.now();
      this.cuts.unshift({ at_ms: this.#lostMs, client: this.name, cause, code, out_ms: null });
    }
  }

  #onSubscribed(isRecovered: boolean): void {
    if (this.#lostMs === null) {
      return;
    }
    this.#lastOutMs = Date.now() - this.#lostMs;
    this.#outMaxMs = Math.max(this.#outMaxMs, this.#lastOutMs);
    this.#lostMs = null;
    this.#resumed += isRecovered ? 1 : 0;
    const [cut] = this.cuts;
    if (cut !== undefined) {
      cut.out_ms = this.#lastOutMs;
    }
  }

  async #draw(): Promise<void> {
    if (this.#pending > 0) {
      return;
    }
    this.#pending = 1;
    this.#step += 1;
    const x = this.#step % WIDTH;
    const wave = Math.round(Math.sin((this.#step + this.#row * 5) / 9) * 5 + this.#row);
    const color = (Math.floor(this.#step / WIDTH) * 3 + this.#row) % 16;
    const data = { x, y: Math.min(HEIGHT - 1, Math.max(0, wave)), color, by: this.name };
    const key = randomUUID();
    while (this.#pending > 0) {
      try {
        await this.#client.ready();
        const { data: ack } = await this.#client.rpc("gw.publish", { channel: CHANNEL, data, idempotency_key: key });
        this.acks.add(ack.offset);
        this.#pending = 0;
      } catch {
        // Not acknowledged: the same key again.
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
}
