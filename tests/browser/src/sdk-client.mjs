// A client that draws with npm `centrifuge`, unmodified, on Node, and records what it receives.

import { randomUUID } from "node:crypto";
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";
import { TIMEOUT_MS, until } from "./until.mjs";

/** Publications per history request. */
const PAGE = 300;
/** Delays shorter than the library's defaults, which are chosen for servers with thousands of clients. */
const RECONNECT = { minReconnectDelay: 100, maxReconnectDelay: 1_000 };

export class SdkClient {
  #client;
  #subscription;
  #channel;
  /** The strokes by idempotency key, as in `FrameLog`. */
  strokes = new Map();
  /** Each delivered publication, in the order of delivery. */
  delivered = [];
  /** For each subscription: whether the gateway confirmed that nothing is missing. */
  recovered = [];

  static async join(url, channel, name) {
    const client = new SdkClient();
    client.#channel = channel;
    client.#client = new Centrifuge(url, { websocket: WebSocket, data: { name }, ...RECONNECT });
    client.#subscription = client.#client.newSubscription(channel, {
      joinLeave: true,
      recoverable: true,
      positioned: true,
    });
    client.#subscription.on("publication", ({ offset, data }) => client.delivered.push({ offset, data }));
    client.#subscription.on("subscribed", ({ wasRecovering, recovered }) => {
      client.recovered.push(!wasRecovering || recovered);
    });
    client.#subscription.subscribe();
    client.#client.connect();
    await client.#subscription.ready(TIMEOUT_MS);
    return client;
  }

  get isSubscribed() {
    return this.#subscription.state === "subscribed";
  }

  /** Publishes each stroke with a new idempotency key, and repeats it with the same key until it is acknowledged. */
  async draw(strokes) {
    await Promise.all(strokes.map((data) => this.#publish(data, randomUUID())));
  }

  async #publish(data, key) {
    const stroke = { data, sent: 0, acks: [] };
    this.strokes.set(key, stroke);
    await until(`an acknowledgement of ${JSON.stringify(data)}`, async () => {
      await this.#client.ready(TIMEOUT_MS);
      stroke.sent += 1;
      const reply = await this.#client.rpc("gw.publish", {
        channel: this.#channel,
        data,
        idempotency_key: key,
      });
      return stroke.acks.push(reply.data);
    });
  }

  /** All publications of the channel, from the gateway's history. */
  async history() {
    const publications = [];
    for (let since = await this.#oldest(); ; ) {
      const page = await this.#client.history(this.#channel, { limit: PAGE, since });
      publications.push(...page.publications.map(({ offset, data }) => ({ offset, data })));
      if (page.publications.length < PAGE) {
        return publications;
      }
      since = { epoch: page.epoch, offset: publications.at(-1).offset };
    }
  }

  async #oldest() {
    const { epoch } = await this.#client.history(this.#channel, { limit: 0 });
    return { epoch, offset: 0 };
  }

  close() {
    this.#client.disconnect();
  }
}
