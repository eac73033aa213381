// Maintains the picture: subscribes to the channel from its first publication and applies each publication.

import { Centrifuge } from "centrifuge";
import WebSocket from "ws";

export const WIDTH = 64;
export const HEIGHT = 64;
const BLANK = 255;
export const CHANNEL = "canvas";
export const COLORS = [
  ...["#1b1b1f", "#5c6370", "#a9b0bb", "#f5f2ea", "#c8342f", "#e8743b", "#f2b632", "#f7e08b"],
  ...["#7a4a2b", "#8cbf4b", "#2f8f5b", "#1f5f5b", "#45b5c4", "#3166c9", "#6a4bb5", "#d9679f"],
] as const;

export const COLOR_NAMES = [
  ...["black", "dark grey", "grey", "white", "red", "orange", "yellow", "light yellow"],
  ...["brown", "light green", "green", "dark green", "turquoise", "blue", "violet", "pink"],
] as const;

export class Application {
  readonly #pixels = new Uint8Array(WIDTH * HEIGHT).fill(BLANK);
  readonly #foreground = new Uint8Array(WIDTH * HEIGHT);
  #epoch: string | null = null;
  #offset = 0;
  readonly received = new Set<number>();
  #receivedAtMs: number[] = [];

  constructor(url: string) {
    const client = new Centrifuge(url, {
      websocket: WebSocket,
      data: { name: "application" },
      maxReconnectDelay: 1_000,
    });
    const canvas = client.newSubscription(CHANNEL, { recoverable: true, since: { epoch: "", offset: 0 } });
    canvas.on("subscribed", ({ streamPosition, recovered }) => {
      this.#epoch = streamPosition?.epoch ?? null;
      this.#offset = recovered ? this.#offset : (streamPosition?.offset ?? 0);
    });
    canvas.on("publication", ({ offset, data }) => this.#apply(offset ?? 0, data));
    canvas.subscribe();
    client.connect();
  }

  get offset(): number {
    return this.#offset;
  }

  messagesPerSecond(): number {
    this.#receivedAtMs = this.#receivedAtMs.filter((at) => at > Date.now() - 2_000);
    return this.#receivedAtMs.length / 2;
  }

  picture(): object | null {
    return this.#epoch === null
      ? null
      : {
          epoch: this.#epoch,
          offset: this.#offset,
          width: WIDTH,
          height: HEIGHT,
          pixels: Buffer.from(this.#pixels).toString("base64"),
          foreground: Buffer.from(this.#foreground).toString("base64"),
        };
  }

  #apply(offset: number, data: unknown): void {
    this.#offset = offset;
    this.received.add(offset);
    this.#receivedAtMs.push(Date.now());
    const { x, y, color, by, clear, background } = (data ?? {}) as Record<string, unknown>;
    if (typeof by !== "string") {
      return;
    }
    if (clear === true) {
      this.#pixels.fill(BLANK);
      this.#foreground.fill(0);
      return;
    }
    const isPixel = [x, y, color].every((value) => Number.isInteger(value) && (value as number) >= 0);
    const at = Number(y) * WIDTH + Number(x);
    const isCovered = background === true && this.#foreground[at] === 1;
    if (isPixel && !isCovered && Number(x) < WIDTH && Number(y) < HEIGHT && Number(color) < 16) {
      this.#pixels[at] = Number(color);
      this.#foreground[at] = background === true ? 0 : 1;
    }
  }
}
