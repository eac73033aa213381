// A program of somebody else that draws too: npm `centrifuge`, unmodified, on Node. It keeps what it was told.

import { randomUUID } from "node:crypto";
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";
import { PATIENCE_MS, until } from "./until.mjs";

/** Publications asked for at a time. */
const PAGE = 300;
/** The library's own pauses are made for servers with thousands of clients. */
const RECONNECT = { minReconnectDelay: 100, maxReconnectDelay: 1_000 };

export class Guest {
  #client;
  #subscription;
  #channel;
  /** As in `Wire`. */
  strokes = new Map();
  /** Each publication that was handed over, in the order it came. */
  handed = [];
  /** For each time it was subscribed: whether the gateway said that nothing is missing. */
  recovered = [];

  static async join(url, channel, name) {
    const guest = new Guest();
    guest.#channel = channel;
    guest.#client = new Centrifuge(url, { websocket: WebSocket, data: { name }, ...RECONNECT });
    guest.#subscription = guest.#client.newSubscription(channel, {
      joinLeave: true,
      recoverable: true,
      positioned: true,
    });
    guest.#subscription.on("publication", ({ offset, data }) => guest.handed.push({ offset, data }));
    guest.#subscription.on("subscribed", ({ wasRecovering, recovered }) => {
      guest.recovered.push(!wasRecovering || recovered);
    });
    guest.#subscription.subscribe();
    guest.#client.connect();
    await guest.#subscription.ready(PATIENCE_MS);
    return guest;
  }

  /** Publishes each with a key of its own, again with the same key until it is acknowledged. */
  async draw(strokes) {
    await Promise.all(strokes.map((data) => this.#publish(data, randomUUID())));
  }

  async #publish(data, key) {
    const stroke = { data, sent: 0, acks: [] };
    this.strokes.set(key, stroke);
    await until(`an acknowledgement of ${JSON.stringify(data)}`, async () => {
      await this.#client.ready(PATIENCE_MS);
      stroke.sent += 1;
      const reply = await this.#client.rpc("gw.publish", { channel: this.#channel, data, idempotency_key: key });
      return stroke.acks.push(reply.data);
    });
  }

  /** Everything that the channel holds, as the gateway tells it. */
  async history() {
    const told = [];
    for (let since = await this.#beginning(); ; ) {
      const page = await this.#client.history(this.#channel, { limit: PAGE, since });
      told.push(...page.publications.map(({ offset, data }) => ({ offset, data })));
      if (page.publications.length < PAGE) {
        return told;
      }
      since = { epoch: page.epoch, offset: told.at(-1).offset };
    }
  }

  async #beginning() {
    const { epoch } = await this.#client.history(this.#channel, { limit: 0 });
    return { epoch, offset: 0 };
  }

  leave() {
    this.#client.disconnect();
  }
}
