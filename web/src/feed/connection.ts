// The connection to the gateway: npm `centrifuge` does the protocol, this decides when it tries again, so that the
// page can say when that is. Knows nothing of pixels.

import { Centrifuge, State, type Subscription } from "centrifuge";
import type { Link, Position } from "../state/model";
import { delayMs, levelAfter } from "./backoff";

/** Effectively never: the pace is set here. */
const NEVER_MS = 3_600_000;
/** A call without an answer, or a try that leads nowhere; the library ends it. */
export const CALL_TIMEOUT_MS = 5_000;
/** How long after the gateway's last ping was due the link counts as dead. */
const PING_GRACE_MS = 5_000;

export interface Listener {
  readonly linkChanged: (link: Link, self: string | null) => void;
  readonly subscribed: (at: Position, isRecovered: boolean) => void;
  readonly published: (offset: number, data: unknown) => void;
  readonly joined: (client: string, info: unknown) => void;
  readonly left: (client: string) => void;
}

/** What a test replaces. */
export interface Surroundings {
  readonly network: EventTarget;
  readonly isOnline: () => boolean;
  readonly dice: () => number;
  readonly websocket?: unknown;
}

export interface Ack extends Position {
  readonly duplicate: boolean;
}

/** Why a call failed. Codes below 100 are this side's: nothing is known about what the gateway did. */
export interface CallError {
  readonly code: number;
  readonly message: string;
  readonly isTemporary: boolean;
}

export class Connection {
  readonly #client: Centrifuge;
  readonly #listener: Listener;
  readonly #around: Surroundings;
  readonly #channel: string;
  #subscription: Subscription | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #level = 0;
  #attempt = 0;
  #connectedMs = 0;
  #cause = "";
  #link: Link = { kind: "connecting" };

  constructor(url: string, channel: string, name: string, listener: Listener, around: Surroundings) {
    this.#listener = listener;
    this.#around = around;
    this.#channel = channel;
    this.#client = new Centrifuge(url, {
      data: { name },
      name: "canvas",
      minReconnectDelay: NEVER_MS,
      maxReconnectDelay: NEVER_MS,
      timeout: CALL_TIMEOUT_MS,
      maxServerPingDelay: PING_GRACE_MS,
      // Changes of the network are handled here, or two tries would start at once.
      networkEventTarget: new EventTarget(),
      ...(around.websocket === undefined ? {} : { websocket: around.websocket }),
    });
    this.#client.on("connected", ({ client }) => this.#onConnected(client));
    this.#client.on("connecting", ({ reason }) => this.#onLost(reason));
    this.#client.on("error", ({ error }) => this.#onFailed(error.message));
    this.#client.on("disconnected", ({ code, reason }) => this.#onDisconnected(code, reason));
    around.network.addEventListener("offline", () => this.#goOffline());
    around.network.addEventListener("online", () => this.kick());
  }

  /** Begins, and never ends by itself. The channel continues from the position, so that nothing is missed. */
  start(since: Position): void {
    const options = { recoverable: true, positioned: true, joinLeave: true, since: { ...since } };
    const subscription = this.#client.newSubscription(this.#channel, options);
    this.#subscription = subscription;
    subscription.on("subscribed", ({ streamPosition, recovered }) => {
      if (streamPosition !== undefined) {
        const { epoch, offset } = streamPosition;
        this.#listener.subscribed({ epoch, offset }, recovered);
      }
    });
    subscription.on("publication", ({ offset, data }) => this.#listener.published(offset ?? 0, data));
    subscription.on("join", ({ info }) => this.#listener.joined(info.client, info.connInfo));
    subscription.on("leave", ({ info }) => this.#listener.left(info.client));
    subscription.subscribe();
    if (this.#around.isOnline()) {
      this.#try();
    } else {
      this.#tell({ kind: "offline" });
    }
  }

  /** Tries now: the network is back, the person came back to the page, or asked for it. */
  kick(): void {
    if (this.#link.kind === "connected" || this.#isTrying()) {
      return;
    }
    this.#try();
  }

  /** Others see a new name after a new connect; the subscription continues where it is. */
  rename(name: string): void {
    this.#client.setData({ name });
    if (this.#link.kind === "connected") {
      this.#cause = "the name changed";
      this.#try();
    }
  }

  /** Publishes once, however often it is called with the same key. */
  async publish(data: unknown, key: string): Promise<Ack> {
    const reply = await this.#client.rpc("gw.publish", { channel: this.#channel, data, idempotency_key: key });
    const { epoch, offset, duplicate } = reply.data as Ack;
    return { epoch, offset, duplicate };
  }

  /** Where the channel is now. */
  async top(): Promise<Position> {
    const { epoch, offset } = await this.#client.history(this.#channel, { limit: 0 });
    return { epoch, offset };
  }

  /** Everybody in the channel, by client id. */
  async presence(): Promise<ReadonlyMap<string, unknown>> {
    const { clients } = await this.#client.presence(this.#channel);
    return new Map(Object.values(clients).map((info) => [info.client, info.connInfo]));
  }

  get isSubscribed(): boolean {
    return this.#subscription?.state === "subscribed";
  }

  #isTrying(): boolean {
    return this.#link.kind === "reconnecting" && this.#link.nextTryMs === null;
  }

  #try(): void {
    clearTimeout(this.#timer);
    const isFirst = this.#attempt === 0 && this.#link.kind === "connecting";
    this.#attempt += 1;
    const cause = this.#cause;
    this.#tell(
      isFirst
        ? { kind: "connecting" }
        : { kind: "reconnecting", attempt: this.#attempt, nextTryMs: null, cause },
    );
    // The library's own next try is hours away; a connect from the beginning is at once.
    this.#client.disconnect();
    this.#client.connect();
  }

  #onConnected(self: string): void {
    clearTimeout(this.#timer);
    this.#attempt = 0;
    this.#connectedMs = Date.now();
    this.#tell({ kind: "connected", sinceMs: this.#connectedMs }, self);
  }

  #onLost(reason: string): void {
    if (this.#link.kind !== "connected") {
      return;
    }
    this.#level = levelAfter(this.#level, Date.now() - this.#connectedMs);
    this.#onFailed(reason);
  }

  #onFailed(reason: string): void {
    if (this.#client.state === State.Connected || this.#link.kind === "offline") {
      return;
    }
    clearTimeout(this.#timer);
    this.#cause = reason;
    const delay = delayMs(this.#level, this.#around.dice);
    this.#level += 1;
    this.#timer = setTimeout(() => this.#try(), delay);
    const nextTryMs = Date.now() + delay;
    this.#tell({ kind: "reconnecting", attempt: this.#attempt + 1, nextTryMs, cause: reason });
  }

  #onDisconnected(code: number, reason: string): void {
    // 0 is our own disconnect before a try.
    if (code !== 0) {
      clearTimeout(this.#timer);
      this.#tell({ kind: "stopped", cause: reason });
    }
  }

  #goOffline(): void {
    clearTimeout(this.#timer);
    this.#tell({ kind: "offline" });
    this.#client.disconnect();
  }

  #tell(link: Link, self: string | null = null): void {
    this.#link = link;
    this.#listener.linkChanged(link, self);
  }
}

/** What the library throws, as this page's own words. */
export function callError(thrown: unknown): CallError {
  const { code, message, temporary } = (thrown ?? {}) as {
    code?: unknown;
    message?: unknown;
    temporary?: unknown;
  };
  const known = typeof code === "number" ? code : 0;
  return {
    code: known,
    message: typeof message === "string" && message !== "" ? message : "unknown error",
    isTemporary: temporary === true || known < 100,
  };
}
